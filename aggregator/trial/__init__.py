"""A trial: several hospitals played on one machine, from films to one table.

It is what `gdshare demo` and the examples run. It sees every hospital's films, which an aggregator
never does; so it can also train the baseline on pooled real patches and give each model an AUC.
Each part is kept in the trial's folder as soon as it is done, so an interrupted trial goes on::

    OUT/
      sites/NAME/cohort run outbox     one hospital
      trust/NAME.pub                   the public keys (private ones are thrown away)
      federation/                      Flower's logs, and the nodes' ledgers
      round/                           the aggregator's result: model, table, refusals
      models/NAME                      each bundle alone, pooled, and trained on real patches
      votes/MODEL/SITE-SPLIT.json      votes on every film
      trial.json table.md              the comparison
"""
