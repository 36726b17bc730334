"""Do three distilled images a hospital classify films as well as thousands of real patches?

The claim of Li et al. 2020 (Ex. I), tested by patient-level cross-validation on films of three
hospitals pooled. ``python -m studies.quality`` does every piece that is not done yet, then
prints the tables. Several processes may be given the same command at once, and any may be killed::

    OUT/
      plan.json                    what is measured; another plan needs another folder
      phantom-0/films ...          with --quick: synthetic films in place of real ones
      fold-0/
        cohort-SITE/cohort         patches, cut and labelled; which patient is in which split
        distil-convnet-SITE/run    a hospital's distillation on one arm's network
        scheme-convnet/            which way of pooling the validation patients prefer
        films-convnet/00000.npz    what 20 networks, trained on distilled images, see in each film
        films-convnet/seen.npz     the same, counted film by film
        real-3000-group/ ...       networks trained on real patches
        films-real-3000-group/ ... what each of them sees in every film
        cross-SITE/                how well a hospital's images train each arm's network
      fold-1/ ...

Each piece's folder also holds ``claim`` (locked by the process at work), ``seconds.json`` (spent on
what is kept so far) and at last ``done.json`` (facts and CPU-seconds). Stopped early, the benchmark
tells by ``--only report`` what is complete in all folds, and what is missing; ``--archive`` keeps
what is done apart, to go on from on another machine.

``python -m studies.pneumonia`` asks the same of PneumoniaMNIST, with one image a class.
"""
