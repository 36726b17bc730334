"""Do two distilled images, one a class, teach pneumonia as well as all 4,708 training images?

The target: the ConvNet trained from them comes within 3 points of balanced accuracy of the same
ConvNet trained on every training image of PneumoniaMNIST (28 px, padded to 32), both judged on the
test images. ``python -m studies.pneumonia`` does every piece that is not done yet, then
prints the table; as with ``python -m studies.quality``, several processes may be given the same
command at once, and any may be killed::

    OUT/
      plan.json                    what is measured; another plan needs another folder
      synthetic.npz                with --quick: drawn images in place of real ones
      distil-0/run                 seed 0's distillation, with every scored state
      real-0-plain-0.001/ ...      seed 0's trainings on real images, one a trial
      judge-0/calls.npz            what seed 0's networks call each test image
      distil-1/ ...
"""
