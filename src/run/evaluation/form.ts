/** In which form an evaluation is written: what the ending of its file says. */
import { extname } from "node:path";
import { UserError } from "../../errors.ts";

const FORMS = ["csv", "json", "jsonl", "md", "tex", "txt"] as const;
/** "txt" is the table for people. */
export type EvaluationForm = (typeof FORMS)[number];

/**
 * The form of the file at `out`; undefined for stdout and for a name without an ending. Throws UserError for a form
 * that there is not.
 */
export function evaluationForm(out: string): EvaluationForm | undefined {
  const ending = extname(out).toLowerCase();
  const form = FORMS.find((each) => ending === `.${each}`);
  if (ending !== "" && ending !== "." && !form)
    throw new UserError(
      `evaluate writes no ${ending} file, found -o ${out}`,
      `end the name in ${FORMS.map((each) => `.${each}`).join(", ")}; .txt is the table as it is printed`,
    );
  return form;
}
