// What the list says before the first span has arrived: how to send some.

import { copyButton } from "./copy.js";
import { el } from "./dom.js";

/** The instructions, for the addresses at which spans are taken. */
export function howToSend(receivers) {
  const collector = `http://${reachable(receivers.http)}`;
  return el(
    "div",
    { class: "welcome" },
    el("h2", {}, "No spans have arrived yet"),
    el(
      "p",
      {},
      "This page shows them as they come. Put a sidecar beside a service that listens on port 8080:",
    ),
    command(`spandrel run --inbound 127.0.0.1:16006 --app 8080 --service shop --otlp ${collector}`),
    el("p", {}, "Or let anything that has an OpenTelemetry SDK send its own:"),
    command(`export OTEL_EXPORTER_OTLP_ENDPOINT=${collector}`),
    el(
      "p",
      {},
      "OTLP over gRPC is taken at ",
      el("code", {}, `http://${reachable(receivers.grpc)}`),
      ". Nothing at hand? ",
      el("code", {}, "spandrel demo"),
      " runs a small shop to look at.",
    ),
  );
}

/** An address as it is reached from where this page is read. */
function reachable(address) {
  const [, host, port] = /^(.*):(\d+)$/.exec(address);
  const isEverywhere = host === "0.0.0.0" || host === "[::]";
  return `${isEverywhere ? location.hostname : host}:${port}`;
}

function command(text) {
  return el(
    "div",
    { class: "command" },
    el("code", {}, text),
    copyButton("copy", () => text, "Copy the command"),
  );
}
