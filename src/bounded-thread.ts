/** Threads that work on what a file says, under bounds of time and memory: they end, whatever it says. */

export interface Bounds {
  readonly milliseconds: number;
  /** More than the process holds when the thread is asked. */
  readonly bytes: number;
}

/** Time between two looks at the thread. */
const LOOK_MS = 50;

/**
 * Asks a thread, and resolves to its answer, to the error that it threw, or to what `exceeded` makes of the bound that
 * it went beyond. The thread goes on: whoever made it ends it.
 */
export async function askThread<A>(
  worker: Worker,
  request: unknown,
  { milliseconds, bytes }: Bounds,
  exceeded: (bound: "time" | "memory") => string,
): Promise<A | { readonly error: string }> {
  const before = process.memoryUsage.rss();
  let watch: Timer | undefined;
  const answer = await new Promise<A | { readonly error: string }>((resolve) => {
    worker.onmessage = ({ data }) => resolve(data);
    worker.onerror = ({ message }) => resolve({ error: message });
    worker.postMessage(request);
    let passed = 0;
    watch = setInterval(() => {
      passed += LOOK_MS;
      if (process.memoryUsage.rss() - before > bytes) resolve({ error: exceeded("memory") });
      else if (passed > milliseconds) resolve({ error: exceeded("time") });
    }, LOOK_MS);
  });
  clearInterval(watch);
  return answer;
}
