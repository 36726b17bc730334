"""The networks as chains of layers whose derivatives are written out by hand.

An outer step needs, of each inner step, the gradient by the weights and that gradient's directional
derivative. Automatic differentiation gets the second by recording the first, at the price of every
intermediate tensor, and on three images its convolution kernels spend their time on everything but
arithmetic. Here every layer has four short passes (``layer``), all of them matrix products over
activations kept channels-last, and the sweeps over a whole network (``network``) share what they
can. ADR 0008 has the figures.
"""
