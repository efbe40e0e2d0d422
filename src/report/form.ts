/** Which result is asked for: what a flag says, else what the name of the file says, else the page. */
import { extname } from "node:path";
import { UserError } from "../errors.ts";

const FLAGS = ["svg", "png", "csv", "md", "tex"] as const;
const FORMS = ["html", ...FLAGS, "json"] as const;
export type Form = (typeof FORMS)[number];

/** Endings of files that cannot be what is meant: other figures and tables, and logs, which a page must not replace. */
const OTHERS = new Set([".pdf", ".jpg", ".jpeg", ".gif", ".webp", ".eps", ".tsv", ".xlsx", ".jsonl", ".log"]);

export interface FormOptions extends Readonly<Record<(typeof FLAGS)[number] | "json", boolean>> {
  /** A path, or "-" for stdout. */
  readonly out: string;
}

/** Throws UserError where two forms are asked for in one place, or one that there is not. */
export function formOf(options: FormOptions): Form {
  const { out, json } = options;
  const [flag, second] = FLAGS.filter((form) => options[form]);
  if (second) throw new UserError(`--${flag} and --${second} are two results`, "ask for one at a time");
  const ending = extname(out).toLowerCase();
  const ended = FORMS.find((form) => ending === `.${form}`);
  if (flag && ended && ended !== flag)
    throw new UserError(
      `--${flag} and a file that ends in ${ending} are two results`,
      `leave out --${flag}, or end the file's name in .${flag}`,
    );
  if (flag && json && out === "-")
    throw new UserError(`--${flag} and --json are two results`, `give the first a file: -o report.${flag}`);
  if (!flag && OTHERS.has(ending))
    throw new UserError(
      `report writes no ${ending} file, found -o ${out}`,
      `end the name in ${FORMS.map((form) => `.${form}`).join(", ")}`,
    );
  return flag ?? ended ?? (json ? "json" : "html");
}
