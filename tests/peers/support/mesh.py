"""Services in pods, each behind a spandrel that all its traffic is redirected through."""

from contextlib import ExitStack, closing

from .collector import Collector
from .netns import SBIN
from .pod_sidecar import PodSidecar
from .pods import ROOT


class Mesh:
    """Pods of a network, and a collector in one of its own; a context manager that ends all."""

    def __init__(self, network, binary):
        self._network = network
        self.binary = network.program(binary)
        self._sidecars = []
        self._stack = ExitStack()

    def __enter__(self):
        with self._stack:
            self.collector_pod = pod = self.pod("collector")
            with pod.inside():
                self.collector = pod.keep(closing(Collector(pod.ip4)))
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *_):
        self._stack.close()

    def pod(self, name):
        """A pod whose traffic nobody redirects."""
        return self._stack.enter_context(self._network.pod(name))

    def service(self, name, settings=(), **more):
        """A pod behind a spandrel."""
        return self.redirect(self.pod(name), settings, **more)

    def redirect(self, pod, settings=(), flags=(), **more):
        """Puts a spandrel in a pod, and the rules that redirect to it; gives the pod."""
        pod.sidecar = self.sidecar(pod, settings, **more)
        self.rules(pod, "apply", *flags)
        return pod

    def sidecar(self, pod, settings=(), **more):
        """Puts a spandrel in a pod that nothing is redirected to yet."""
        sidecar = PodSidecar(pod, self.binary, self.collector, settings, **more)
        self._sidecars.append(sidecar)
        return self._stack.enter_context(sidecar)

    def rules(self, pod, act, *flags):
        """Applies or removes the rules that follow from the settings of a pod's spandrel."""
        command = [self.binary, "iptables", act, "--config", pod.sidecar.config, *flags]
        pod.run(command, user=ROOT, env={"PATH": SBIN})

    def spans(self, count):
        """All spans of all services: waits for `count` of them, and ends whoever may send more."""
        self.collector.wait_for(count)
        for sidecar in self._sidecars:
            sidecar.stop()
        spans = self.collector.spans()
        assert len(spans) == count, [(s.service, s.kind, s.name, s.attributes) for s in spans]
        return spans
