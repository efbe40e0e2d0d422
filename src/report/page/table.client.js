// Lets the table of runs be sorted by its columns, and filtered by words.
{
  const table = document.getElementById("runs");
  if (table) {
    const body = table.tBodies[0];
    const heads = [...table.tHead.rows[0].cells];
    const all = [...body.rows];
    const wordOf = (row, column) => {
      const { dataset, textContent } = row.cells[column];
      return dataset.value === undefined ? textContent : Number(dataset.value);
    };
    /** Numbers before texts, and what is missing last whichever way. */
    const compare = (a, b, sign) => {
      if (a === "" || b === "") return a === b ? 0 : a === "" ? 1 : -1;
      if (typeof a === "number" && typeof b === "number") return sign * (a - b);
      if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
      return sign * a.localeCompare(b, "en", { numeric: true });
    };
    for (const [column, head] of heads.entries()) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
        for (const other of heads) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", sign === 1 ? "ascending" : "descending");
        const place = new Map(all.map((row, i) => [row, i]));
        const sorted = [...all].sort(
          (a, b) => compare(wordOf(a, column), wordOf(b, column), sign) || place.get(a) - place.get(b),
        );
        body.append(...sorted);
      });
    }
    const label = document.createElement("label");
    const field = document.createElement("input");
    const count = document.createElement("output");
    field.type = "search";
    field.id = "filter";
    label.append("only runs with ", field);
    const form = document.createElement("form");
    form.append(label, count);
    form.addEventListener("submit", (event) => event.preventDefault());
    table.parentElement.before(form);
    const filter = () => {
      const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const row of all) {
        const text = row.textContent.toLowerCase();
        row.hidden = !words.every((word) => text.includes(word));
        if (!row.hidden) shown++;
      }
      count.textContent = words.length > 0 ? `${shown} of ${all.length}` : "";
    };
    field.addEventListener("input", filter);
  }
}
