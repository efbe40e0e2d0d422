/** Templates and patterns of task files under a budget of time and memory. */
import { askThread } from "../../bounded-thread.ts";
import { UserError } from "../../errors.ts";
import type { Answer, Request } from "./worker.ts";

/** Milliseconds in any case, and for each row. */
const LEAST_MS = 3000;
const ROW_MS = 1;
/** Letters of a message that are shown. */
const MOST_LETTERS = 400;
const MOST_MEMORY = 512 * 2 ** 20;

/** Asks the thread once and ends it. Throws UserError, naming the file, for what fails or does not end. */
export async function bounded(file: string, request: Request): Promise<Exclude<Answer, { error: string }>> {
  const worker = new Worker(new URL("./worker.ts", import.meta.url).href);
  const rows = request.kind === "texts" ? request.documents : request.rows;
  const milliseconds = LEAST_MS + ROW_MS * rows.length;
  const what = request.kind === "texts" ? "its templates" : "its patterns";
  try {
    const answer = await askThread<Answer>(worker, request, { milliseconds, bytes: MOST_MEMORY }, (bound) =>
      bound === "time" ? `${what} take longer than ${milliseconds / 1000} s` : `${what} take more than 512 MB`,
    );
    if ("error" in answer) throw new UserError(`${file}: ${answer.error.slice(0, MOST_LETTERS)}`, "mend the task file");
    return answer;
  } finally {
    worker.terminate();
  }
}
