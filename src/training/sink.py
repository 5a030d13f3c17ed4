"""Data sink: the device takes its batches from a queue of its own, which is filled while it computes."""

import logging

import mindspore as ms


def usable(wanted):
    """Return whether batches are to go through the device's queue; the CPU has none, and says so."""
    if wanted and ms.get_context("device_target") == "CPU":
        logging.warning("the CPU has no queue for data: data.sink is for Ascend and GPU")
        return False
    return wanted


def connect(cell, dataset):
    """Join a Cell with the device's queue.

    Args:
        cell: its ``construct`` takes the dataset's columns.
        dataset: a mindspore dataset, of which one pass is made.

    Returns:
        a function of one argument that runs the Cell on the next batch in the queue, and an iterable of as many
        arguments for it as there are batches: they are placeholders.
    """
    helper = ms.DatasetHelper(dataset, dataset_sink_mode=True, sink_size=1, epoch_num=1)
    connected = ms.connect_network_with_dataset(cell, helper)
    connected.set_train()
    return _NextBatch(connected), helper


class _NextBatch:
    def __init__(self, connected):
        self.connected = connected

    def __call__(self, placeholder):
        return self.connected(*placeholder)
