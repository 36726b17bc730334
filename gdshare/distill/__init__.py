"""Distilling a cohort into a few soft-labelled images (method.md section 2).

``synthetic`` holds the result and ``settings`` the knobs; both import neither torch nor pillow, so
that ``gdshare.bundle`` may use them. ``unroll`` has the meta-gradients, ``loop`` the training.
"""
