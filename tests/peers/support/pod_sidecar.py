"""spandrel in a pod, behind rules that redirect to it."""

from .pods import PROXY, as_user
from .sidecar import Plan, Sidecar, write_settings

ADMIN, OUTBOUND, INBOUND = 16000, 16001, 16006
"""Where spandrel listens in every pod: a pod has ports of its own."""
_REDIRECTED = {"inbound.mode": "redirect", "outbound.mode": "redirect"}


class PodSidecar(Sidecar):
    """One running `spandrel run` in a pod, as a user of its own; a context manager."""

    inbound, outbound, _admin = INBOUND, OUTBOUND, ADMIN

    def __init__(self, pod, binary, collector, settings=(), user=PROXY, **plan):
        """Starts it, redirected to on both sides unless `settings` say something else."""
        self._pod = pod
        plan = Plan(service=pod.name, app=None, settings=_REDIRECTED | dict(settings), **plan)
        fixed = {
            "service.name": pod.name,
            "export.otlp.endpoint": collector.endpoint(plan.protocol),
        }
        self.config = write_settings(fixed | plan.settings, pod.name, pod.folder)
        is_tproxy = plan.settings["inbound.mode"] == "tproxy"
        keep = [f"--{kind}-caps=+net_admin" for kind in ("inh", "ambient") if is_tproxy]
        command = [*as_user(user, *keep), binary, "run", "--config", self.config]
        self._begin(command, plan, collector, pod.folder)

    def _inside(self):
        return self._pod.inside()
