"""Networks that train slowly and save after every step, in whatever process they train."""

import time

from credit.sweep import tracked_stack
from credit.sweep.networks import Networks
from credit.training.loop import train

STEP_SECONDS = 0.05


class Slow(Networks):
    """The networks of a sweep whose steps take STEP_SECONDS longer."""

    def tracked(self, *args):
        def slowly(stack, data, start, on_step, pause):
            def step(done: int, steps: int) -> None:
                time.sleep(STEP_SECONDS)
                on_step(done, steps)

            return train(stack, data, start, step, pause)

        tracked_stack.CHECKPOINT_SECONDS = 0.0
        tracked_stack.train = slowly
        return super().tracked(*args)
