// What the list says before the first span has arrived: how to send some.

import { copyButton } from "./copy.js";
import { el } from "./dom.js";

/** The instructions, for the host that serves this page. */
export function howToSend() {
  const collector = `http://${location.hostname || "127.0.0.1"}:4318`;
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
      "OTLP over gRPC is taken on port 4317, unless ",
      el("code", {}, "spandrel view"),
      " was told other ports. Nothing at hand? ",
      el("code", {}, "spandrel demo"),
      " runs a small shop to look at.",
    ),
  );
}

function command(text) {
  return el(
    "div",
    { class: "command" },
    el("code", {}, text),
    copyButton("copy", () => text, "Copy the command"),
  );
}
