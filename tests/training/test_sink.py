"""The device's queue, which no CPU has: the joining alone, with a stand-in for mindspore's side of it."""

import mindspore as ms
import numpy as np

from src.training import trainer


def test_the_cpu_has_no_queue_and_says_so(caplog):
    assert not trainer.usable(True) and "data.sink is for Ascend and GPU" in caplog.text
    caplog.clear()
    assert not trainer.usable(False) and caplog.text == ""


def test_a_step_is_joined_with_the_queue(monkeypatch):
    """mindspore hands out empty placeholders, and runs the Cell on the next batch for each."""
    queue = iter(np.arange(3.0))
    asked = {}

    class Connected:
        def __init__(self, cell):
            self.cell, self.training = cell, False

        def set_train(self):
            self.training = True

        def __call__(self, *placeholder):
            assert placeholder == () and self.training
            return self.cell(next(queue))

    def helper(dataset, **options):
        asked.update(options, dataset=dataset)
        return [(), (), ()]

    monkeypatch.setattr(ms, "DatasetHelper", helper)
    monkeypatch.setattr(ms, "connect_network_with_dataset", lambda cell, helper: Connected(cell))
    step, arguments = trainer.connect(lambda batch: batch * 2, "a dataset")
    assert [step(argument) for argument in arguments] == [0, 2, 4]
    assert asked == {"dataset": "a dataset", "dataset_sink_mode": True, "sink_size": 1, "epoch_num": 1}
