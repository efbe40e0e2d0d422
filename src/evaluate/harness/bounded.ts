/** Templates and patterns of task files under a budget of time and memory. */
import { UserError } from "../../errors.ts";
import { show } from "../../json.ts";
import type { Answer, Request } from "./worker.ts";

/** Milliseconds in any case, and for each row. */
const LEAST_MS = 3000;
const ROW_MS = 1;
const MOST_MEMORY = 512 * 2 ** 20;
const LOOK_MS = 50;

/** Asks the thread once and ends it. Throws UserError, naming the file, for what fails or does not end. */
export async function bounded(file: string, request: Request): Promise<Exclude<Answer, { error: string }>> {
  const worker = new Worker(new URL("./worker.ts", import.meta.url).href);
  const most = LEAST_MS + ROW_MS * (request.kind === "texts" ? request.documents : request.rows).length;
  const before = process.memoryUsage.rss();
  let watch: Timer | undefined;
  try {
    const answer = await new Promise<Answer>((resolve) => {
      worker.onmessage = ({ data }) => resolve(data);
      worker.onerror = ({ message }) => resolve({ error: message });
      worker.postMessage(request);
      let passed = 0;
      watch = setInterval(() => {
        passed += LOOK_MS;
        const what = request.kind === "texts" ? "its templates" : "its patterns";
        if (process.memoryUsage.rss() - before > MOST_MEMORY) resolve({ error: `${what} take more than 512 MB` });
        else if (passed > most) resolve({ error: `${what} take longer than ${most / 1000} s` });
      }, LOOK_MS);
    });
    if ("error" in answer) throw new UserError(`${file}: ${show(answer.error)}`, "mend the task file");
    return answer;
  } finally {
    clearInterval(watch);
    worker.terminate();
  }
}
