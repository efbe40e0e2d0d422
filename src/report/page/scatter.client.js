// Two numbers of all runs against each other. SCATTER holds names of runs and columns (name, better, values).
{
  const element = (id) => document.getElementById(id);
  const svg = document.querySelector("#scatter svg");
  const area = { left: 80, right: 700, top: 20, bottom: 310 };
  const ticks = 5;
  const text = (x) =>
    x === 0 || (Math.abs(x) >= 1e-3 && Math.abs(x) < 1e5) ? String(Number(x.toPrecision(4))) : x.toExponential(1);
  const part = (name, attributes, content) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (content !== undefined) made.textContent = content;
    return made;
  };
  const column = (axis) => SCATTER.columns.find(({ name }) => name === element(`${axis}-column`).value);

  const scale = (values, from, to) => {
    const [least, most] = [Math.min(...values), Math.max(...values)];
    const room = (most - least || Math.abs(most) || 1) / 20;
    const [low, high] = [least - room, most + room];
    return {
      at: (value) => from + ((value - low) / (high - low)) * (to - from),
      ticks: Array.from({ length: ticks }, (_, i) => least + ((most - least) * i) / (ticks - 1)),
    };
  };

  const draw = () => {
    const [x, y] = [column("x"), column("y")];
    const signs = ["x", "y"].map((axis) => (element(`${axis}-better`).value === "lower" ? 1 : -1));
    const dots = SCATTER.names
      .map((name, i) => ({ name, x: x.values[i], y: y.values[i] }))
      .filter((dot) => dot.x !== null && dot.y !== null);
    svg.replaceChildren();
    if (dots.length === 0) return;
    const beats = (a, b) => {
      const [dx, dy] = [signs[0] * (a.x - b.x), signs[1] * (a.y - b.y)];
      return dx <= 0 && dy <= 0 && (dx < 0 || dy < 0);
    };
    const front = dots.filter((dot) => !dots.some((other) => beats(other, dot))).sort((a, b) => a.x - b.x || a.y - b.y);
    const across = scale(
      dots.map((dot) => dot.x),
      area.left,
      area.right,
    );
    const up = scale(
      dots.map((dot) => dot.y),
      area.bottom,
      area.top,
    );
    for (const tick of across.ticks) {
      const at = across.at(tick);
      svg.append(part("line", { x1: at, x2: at, y1: area.top, y2: area.bottom, class: "grid" }));
      svg.append(part("text", { x: at, y: area.bottom + 18, "text-anchor": "middle" }, text(tick)));
    }
    for (const tick of up.ticks) {
      const at = up.at(tick);
      svg.append(part("line", { x1: area.left, x2: area.right, y1: at, y2: at, class: "grid" }));
      svg.append(part("text", { x: area.left - 8, y: at + 4, "text-anchor": "end" }, text(tick)));
    }
    svg.append(part("text", { x: (area.left + area.right) / 2, y: 350, "text-anchor": "middle" }, x.name));
    svg.append(
      part(
        "text",
        { x: -(area.top + area.bottom) / 2, y: 16, transform: "rotate(-90)", "text-anchor": "middle" },
        y.name,
      ),
    );
    const line = front.map((dot) => `${across.at(dot.x)},${up.at(dot.y)}`).join(" ");
    svg.append(part("polyline", { points: line, class: "front" }));
    for (const dot of dots) {
      const circle = part("circle", {
        cx: across.at(dot.x),
        cy: up.at(dot.y),
        r: 5,
        class: front.includes(dot) ? "best" : "other",
      });
      circle.append(part("title", {}, `${dot.name}: ${x.name} ${text(dot.x)}, ${y.name} ${text(dot.y)}`));
      svg.append(circle);
    }
  };

  const follow = (axis) => {
    const { better } = column(axis);
    if (better !== null) element(`${axis}-better`).value = better;
  };
  if (svg) {
    const judged = SCATTER.columns.filter(({ better, name }) => better !== null && !/bytes|seconds/.test(name));
    const [first, second] = [...judged, ...SCATTER.columns.filter((one) => !judged.includes(one))];
    element("x-column").value = first.name;
    element("y-column").value = second.name;
    for (const axis of ["x", "y"]) {
      follow(axis);
      element(`${axis}-column`).addEventListener("change", () => {
        follow(axis);
        draw();
      });
      element(`${axis}-better`).addEventListener("change", draw);
    }
    draw();
  }
}
