"""What is said above the tables, and the words for the ways of reading films."""

from studies.quality.figures import Rule, Way

PAIRED_MODELS = 10
"""Of models alike but for their θ0, the mean figure of so many is held against a baseline's."""

WAYS: dict[Way, str] = {
    "votes": "P / (P + N) of all votes together",
    "probabilities": "ratio of the probabilities of P and of P or N, summed over N and P windows",
}
RULES: dict[Rule, str] = {
    "source": "the source's ε, 0.4",
    "coarse": "ε of best HM on validation films, steps of 0.05",
    "fine": "ε of best HM on validation films, steps of 0.01",
    "own": "ε of best HM on each hospital's own validation films, steps of 0.05",
}
MARK = " (primary)"
NOTES = (
    "Primary, named before any figure of this benchmark was seen: the first arm, films by votes, ε "
    "of best HM on validation films in steps of 0.05, k = {team} networks as in gdshare's rounds, "
    "held against ResNet18 with the better norm. All other figures are secondary; of so many "
    "intervals, not adjusted for their number, about one in twenty leaves out 0 by chance.",
    "What is not blind here: k, voting and the steps of ε were settled on films of shenzhen-b, and "
    "the rates and starts of distillation on patients of shenzhen-a (ADR 0010, "
    "docs/distill-options.md), who are test patients of some fold. The baselines' settings were "
    "not tuned so, and their learning rates are given up after 5 epochs without a better "
    "validation score (gdshare train: 8). All of it favours the distilled side; montgomery alone "
    "had no part in it.",
    "Not as in a round: the way of pooling is chosen in each fold, and windows are cut four times "
    "as far apart, for every model alike.",
    "The last reading, with an ε of each hospital, was added after the others had been seen, since "
    "one ε for all had put nearly all of one hospital's films on one side. A round has one ε. "
    "Whether to prefer one of each hospital is told by validation patients alone, in the table of "
    "patients left out.",
    "k: how many networks, trained from different θ0, vote together; where several such teams "
    "exist, the row is their mean and ± their deviation. Counts are summed over the folds' test "
    "films, AUC is the mean over folds. Better norm: in each fold, by validation patches. Each "
    "cell: Sen Spe HM AUC.",
    "Baselines are single networks, since every further one would cost a whole training. Like is "
    "held against like in the rows of k = 1; with more, voting has a part in the difference.",
    "Only windows called N or P have a say, by votes and by probabilities: each network's "
    "probabilities are summed over the windows that it calls so itself. Side markers and framing "
    "outside the organ may give the diagnosis away. A film without such a window is indeterminate "
    "by either way: its ratio counts as 0, and it is called negative whatever ε.",
    "Differences: the distilled model minus the baseline, with 95% intervals from resampling "
    "patients within fold, site and diagnosis; of models alike but for their θ0, the mean figure "
    f"of the first {PAIRED_MODELS}, or of all when there are fewer. * the interval leaves out 0. "
    "They cover the choice of test patients, and nothing else: not the one distillation of each "
    "hospital and fold, nor the one training of each baseline. Films of all hospitals together "
    "also reward a model that knows one hospital's films from another's: see each hospital's row.",
)
