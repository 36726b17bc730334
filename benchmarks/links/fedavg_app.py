"""FedAvg as Flower has it, of a network of ours: weights go out, and come back a little changed.

Nothing is trained: the bytes are as many. Both sides are of this module, which each has installed.
"""

import torch
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

from gdshare.networks import build, draw

ARRAYS = "arrays"
STEP = 1e-3
server = ServerApp()  # Flower looks for a plain assignment
client = ClientApp()


@server.main()
def main(grid: Grid, context: Context) -> None:
    """Hold the rounds that the run's configuration names."""
    settings = context.run_config
    network, sites = str(settings["network"]), int(settings["sites"])
    weights = draw(network, build(network, int(settings["side"])), torch.Generator().manual_seed(0))
    strategy = FedAvg(fraction_evaluate=0.0, min_train_nodes=sites, min_available_nodes=sites)
    strategy.start(grid, ArrayRecord(weights), num_rounds=int(settings["rounds"]))


@client.train()
def train(message: Message, context: Context) -> Message:
    """Send the weights back, each changed as by a step of training.

    Flower keeps what it carries by its content: weights that are those of the question, or of
    another node's answer, would not be sent.
    """
    sent = message.content.array_records[ARRAYS].to_torch_state_dict()
    draw = torch.Generator().manual_seed(message.metadata.dst_node_id % (1 << 63))
    weights = {
        name: values + STEP * torch.randn(values.shape, generator=draw)
        for name, values in sent.items()
    }
    content = RecordDict({ARRAYS: ArrayRecord(weights)})
    content["metrics"] = MetricRecord({"num-examples": 1})
    return Message(content, reply_to=message)
