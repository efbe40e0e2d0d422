/** An answer as server-sent events: one line of JSON each, and `[DONE]` at the end. */

interface Streamed {
  /** Ended when the client goes away. */
  readonly call: AbortController;
  /** Called once, when nothing more goes out. */
  ended(): void;
  /** The event that says what went wrong. */
  refused(error: unknown): object;
}

/** Events of at most this many bytes wait for a client that does not read; then it has gone away. */
const MOST_WAITING = 4 << 20;

export function eventStream(
  events: (send: (event: object) => void) => Promise<void>,
  { call, ended, refused }: Streamed,
): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  return new ReadableStream<Uint8Array>(
    {
      start(controller) {
        const write = (text: string) => {
          if (call.signal.aborted) return;
          controller.enqueue(encoder.encode(`data: ${text}\n\n`));
          if ((controller.desiredSize ?? 0) < -MOST_WAITING) call.abort(new Error("the client reads nothing"));
        };
        const work = async () => {
          try {
            await events((event) => write(JSON.stringify(event)));
            write("[DONE]");
          } catch (error) {
            const text = `data: ${JSON.stringify(refused(error))}\n\n`;
            try {
              controller.enqueue(encoder.encode(text));
            } catch {
              // The client has gone away.
            }
          }
          ended();
          try {
            controller.close();
          } catch {
            // It was closed from the other side.
          }
        };
        void work();
      },
      cancel() {
        call.abort(new Error("the client went away"));
      },
    },
    new ByteLengthQueuingStrategy({ highWaterMark: 64 << 10 }),
  );
}
