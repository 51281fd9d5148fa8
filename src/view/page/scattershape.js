// Shapes of the plot: from times and durations to places, the axes, and the marks of traces.

import { svg } from "./dom.js";
import { clock, duration } from "./format.js";

/** How high the plot is, in pixels. */
export const HEIGHT = 168;

const MARGIN = { left: 52, right: 14, top: 10, bottom: 22 };
const WIDE_PX = 700;

/** From times and durations to places; durations lie on a logarithmic scale of whole decades. */
export function scaled(traces, width) {
  const starts = traces.map((trace) => trace.start_us);
  const lengths = traces.map((trace) => Math.max(trace.duration_us, 1));
  const isEmpty = traces.length === 0;
  const [first, last] = isEmpty ? [0, 0] : [Math.min(...starts), Math.max(...starts)];
  const low = isEmpty ? 3 : Math.floor(Math.log10(Math.min(...lengths)));
  const high = isEmpty ? 6 : Math.max(Math.ceil(Math.log10(Math.max(...lengths)) + 0.02), low + 1);
  const inner = {
    width: width - MARGIN.left - MARGIN.right,
    height: HEIGHT - MARGIN.top - MARGIN.bottom,
  };
  return {
    first,
    last,
    low,
    high,
    x: (us) => MARGIN.left + (last > first ? (us - first) / (last - first) : 0.5) * inner.width,
    y: (us) => MARGIN.top + (1 - (Math.log10(Math.max(us, 1)) - low) / (high - low)) * inner.height,
  };
}

/** The lines and words around the points. */
export function axes(scales, width) {
  const group = svg("g", { class: "axes" });
  for (let power = scales.low; power <= scales.high; power += 1) {
    const y = scales.y(10 ** power);
    group.append(
      svg("line", { x1: MARGIN.left, x2: width - MARGIN.right, y1: y, y2: y }),
      svg("text", { x: MARGIN.left - 8, y: y + 4, "text-anchor": "end" }, duration(10 ** power)),
    );
  }
  const steps = width > WIDE_PX ? 5 : 2;
  for (let step = 0; step <= steps && scales.last > scales.first; step += 1) {
    const us = scales.first + ((scales.last - scales.first) * step) / steps;
    const anchor = step === 0 ? "start" : step === steps ? "end" : "middle";
    group.append(
      svg(
        "text",
        { x: scales.x(us), y: HEIGHT - 5, "text-anchor": anchor },
        clock(us).replace(/\.\d+$/, ""),
      ),
    );
  }
  return group;
}

/** The mark of a trace: a circle, or a diamond where it has an error; hollow if it is not complete. */
export function mark({ trace, x, y }) {
  const isError = trace.status === "error";
  return shape(`${isError ? "error" : "ok"}${trace.is_complete ? "" : " partial"}`, x, y);
}

/** A mark by itself, for the legend. */
export function key(name) {
  return svg(
    "svg",
    { class: "scatter key", width: 16, height: 16, "aria-hidden": "true" },
    shape(name, 8, 8),
  );
}

function shape(name, x, y) {
  if (!name.startsWith("error")) return svg("circle", { cx: x, cy: y, r: 3.5, class: name });
  const r = 6;
  return svg("path", {
    d: `M${x} ${y - r}L${x + r} ${y}L${x} ${y + r}L${x - r} ${y}Z`,
    class: name,
  });
}
