"""The networks as chains of layers, with derivatives written out by hand.

An outer step needs, of each inner step, the gradient by the weights and that gradient's directional
derivative. Automatic differentiation gets the second by recording the first, which keeps every
intermediate tensor alive, and on three images its convolution kernels spend most of their time on
overhead. Here every layer has four short passes (``layer``), all of them matrix products over
channels-last activations, and ``sweeps`` runs them over a whole network. ADR 0008 has the figures.

``network`` turns a torch module into a chain, ``weights`` holds its parameters.
"""
