"""What waits, and the command for it: read from a site's folders, which stay as they are.

``command`` is a command line that leaves out what ``gdshare.toml`` gives, and ``commands`` lists
those of a hospital's walk; what a command names as the next at its end comes from there too.
``hospital`` is the state of a hospital and, as a pure function, what waits in it;
``read_hospital`` reads that state. The aggregator's are its own (``aggregator.trust.waiting``).

Example::

    for step in hospital_steps(read_hospital({"store": Path("store"), "run": Path("run")})):
        print(step.what, step.command and spell(step.command))
"""

from gdshare.next_steps.command import Command, Step, Word, spell
from gdshare.next_steps.hospital import HospitalState, hospital_steps

__all__ = ["Command", "HospitalState", "Step", "Word", "hospital_steps", "spell"]
