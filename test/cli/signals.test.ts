/** How a script ends when it is told to: politely, at once, or by the system where it hears nothing. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { HANG_MS } from "../support/hang.ts";
import { SHAPE } from "./fixtures/run.ts";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "ingot-signals-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

/**
 * Starts the fixture, waits for it to work, sends signals 100 ms apart; gives exit code, stderr, the log, and the ms
 * from the first signal to the end.
 */
async function interrupt(act: string, signals: NodeJS.Signals[], ...more: string[]) {
  const log = join(folder, `${act}-${signals.join("-")}.jsonl`);
  const child = Bun.spawn([process.execPath, SHAPE, "--act", act, "--log", log, ...more], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  let err = "";
  let sent = 0;
  for await (const chunk of child.stderr.pipeThrough(new TextDecoderStream())) {
    err += chunk;
    if (sent > 0 || !err.includes("shape: waiting\n")) continue;
    sent = performance.now();
    for (const signal of signals) {
      child.kill(signal);
      await Bun.sleep(100);
    }
  }
  const code = await child.exited;
  return { code, err, took: performance.now() - sent, log: existsSync(log) ? readFileSync(log, "utf8") : "" };
}

// Windows has no signals to send; there Ctrl-C reaches the process through its console.
describe.skipIf(process.platform === "win32")("signals", () => {
  test("the first Ctrl-C stops the script politely: cleanups run, it says what is left, 130", async () => {
    const { code, err, log } = await interrupt("wait", ["SIGINT"]);
    const after = err.slice(err.indexOf("shape: waiting\n"));
    expect(after).toBe(
      "shape: waiting\nshape: stopping; press Ctrl-C again to stop at once\nshape: cleaned up\nshape: interrupted by SIGINT; half.bin was left\n",
    );
    expect(code).toBe(130);
    expect(JSON.parse(log.trim().split("\n").at(-1)!)).toMatchObject({
      event: "end",
      ok: false,
      error: "interrupted by SIGINT",
    });
  });

  test("the second Ctrl-C stops it at once", async () => {
    const { code, err, took } = await interrupt("stubborn", ["SIGINT", "SIGINT"]);
    expect(err).toEndWith("shape: stopping; press Ctrl-C again to stop at once\n");
    expect(code).toBe(130);
    expect(took).toBeLessThan(1000); // it would sleep for 30 s
  });

  test.each([
    ["SIGINT", 130],
    ["SIGTERM", 143],
  ] as const)(
    "%s ends work that reaches no good place within two seconds, and the log says so",
    async (signal, exit) => {
      const { code, err, log, took } = await interrupt("stubborn", [signal]);
      expect(err).toEndWith(`shape: interrupted by ${signal}\n`);
      expect(code).toBe(exit);
      expect(took).toBeLessThan(HANG_MS);
      expect(JSON.parse(log.trim().split("\n").at(-1)!)).toMatchObject({
        ok: false,
        error: `interrupted by ${signal}`,
      });
    },
  );

  test.each([
    ["SIGINT", 130],
    ["SIGTERM", 143],
  ] as const)(
    "%s ends a loop that hears nothing within two seconds, and nothing of its result stays",
    async (signal, exit) => {
      const [result, parent] = [join(folder, `deaf-${signal}.txt`), join(folder, `deaf-${signal}`)];
      const { code, err, took } = await interrupt("deaf", [signal], "--base", join(parent, "made"), "-o", result);
      expect(err).toEndWith("shape: waiting\nshape: interrupted; it was too busy to stop by itself\n");
      expect(code).toBe(exit);
      expect(took).toBeGreaterThan(1000); // JavaScript had its time
      expect(took).toBeLessThan(HANG_MS);
      expect(readdirSync(folder).filter((name) => name.includes(`deaf-${signal}`) && !name.endsWith(".jsonl"))).toEqual(
        [],
      );
    },
  );

  test("a config that never comes is waited for no longer than that", async () => {
    const pipe = join(folder, "config.yml");
    Bun.spawnSync(["mkfifo", pipe]);
    // A shell without job control starts what is in the background with SIGINT ignored.
    const line = '"$BUN" "$SHAPE" --config "$PIPE" & sleep 1; kill -INT $!; wait $!';
    const env = { ...process.env, BUN: process.execPath, SHAPE, PIPE: pipe };
    const began = performance.now();
    const child = Bun.spawn(["sh", "-c", line], { env, stdin: "ignore", stdout: "ignore", stderr: "ignore" });
    expect(await child.exited).toBe(130);
    expect(performance.now() - began).toBeLessThan(HANG_MS);
  });

  test("SIGTERM ends with 143", async () => {
    const { code, err } = await interrupt("wait", ["SIGTERM"]);
    expect(code).toBe(143);
    expect(err).toEndWith("shape: cleaned up\nshape: interrupted by SIGTERM; half.bin was left\n");
  });
});
