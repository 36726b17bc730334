"""Distillation under a guarantee: (ε, δ)-differential privacy of the training patients.

The patients are asked two noisy questions (``query``, ``statistic``), and the images are distilled
against the answers alone (``surrogates``, ``run``). What is known beforehand comes from drawn films
(``reference``); what is spent is counted by dp-accounting (``account``) and recorded (``record``).
"""
