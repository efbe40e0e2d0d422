/** The commands that pages and help texts show, as a shell would get them. */

export interface Shown {
  /** Page or script that shows it, and the line where it begins. */
  readonly place: string;
  /** Without its remark; lines that are continued are one. */
  readonly line: string;
}

/** What begins a command in running text and in blocks. */
const COMMAND = /^(?:bun|bunx|npx|sh|git|ingot) /;

/** A line without the remark behind it. A `#` within quotes stays. */
function withoutRemark(line: string): string {
  let quote = "";
  for (const [i, letter] of [...line].entries()) {
    if (quote) quote = letter === quote ? "" : quote;
    else if (letter === "'" || letter === '"') quote = letter;
    else if (letter === "#" && (i === 0 || line[i - 1] === " ")) return line.slice(0, i).trimEnd();
  }
  return line.trimEnd();
}

/** Lines with what continues them: behind a backslash, or with a pipe at the beginning of the next. */
function joined(lines: readonly Shown[]): Shown[] {
  const out: Shown[] = [];
  let open = false;
  for (const { place, line } of lines) {
    const text = withoutRemark(line).trim();
    const isOpen = text.endsWith("\\");
    const part = isOpen ? text.slice(0, -1).trimEnd() : text;
    if (out.length > 0 && (open || part.startsWith("| "))) {
      const last = out.pop()!;
      out.push({ ...last, line: `${last.line} ${part}` });
    } else if (part) out.push({ place, line: part });
    open = isOpen;
  }
  return out;
}

/**
 * The commands of blocks of a page, indented by four or fenced as `sh`, in order. A `$` before one is none of it.
 */
export function blockCommands(page: string, text: string): Shown[] {
  const lines: Shown[] = [];
  let fence: string | undefined;
  for (const [i, raw] of text.split("\n").entries()) {
    const fenced = /^```(\w*)/.exec(raw);
    if (fenced) fence = fence === undefined ? fenced[1]! : undefined;
    else if (fence === "sh" || (fence === undefined && raw.startsWith("    ")))
      lines.push({ place: `${page}:${i + 1}`, line: raw.trim().replace(/^\$ /, "") });
    else if (fence === undefined) lines.push({ place: `${page}:${i + 1}`, line: "" });
  }
  return joined(lines).filter(({ line }) => COMMAND.test(line) || /^(?:echo|cat|printf|for) /.test(line));
}

/** The commands in back quotes within a page's sentences and tables. */
export function inlineCommands(page: string, text: string): Shown[] {
  const prose = text.replaceAll(/^```[\s\S]*?^```/gm, (block) => block.replaceAll(/[^\n]/g, ""));
  return [...prose.matchAll(/`([^`]+)`/g)]
    .map(({ 1: code, index }) => ({
      place: `${page}:${prose.slice(0, index).split("\n").length}`,
      line: code!.replaceAll(/\s+/g, " "),
    }))
    .filter(
      ({ place, line }) => COMMAND.test(line) && !text.split("\n")[Number(place.split(":")[1]) - 1]!.startsWith("    "),
    );
}

/** The examples of a help text. */
export function helpCommands(script: string, text: string): Shown[] {
  const block = /^Examples\n([\s\S]*?)\n(?:\n|$)/m.exec(text)?.[1] ?? "";
  return joined(block.split("\n").map((line) => ({ place: `${script} --help`, line })));
}
