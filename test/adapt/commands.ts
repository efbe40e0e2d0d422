/** Runs the sub-commands of `adapt` inside the test's process, on options as the command line would give them. */

import { extract } from "../../src/adapt/commands/extract.ts";
import { EXTRACT } from "../../src/adapt/options.ts";
import type { CommonValues, Outcome } from "../../src/cli/context.ts";
import { makeProgress } from "../../src/cli/progress.ts";
import type { Values } from "../../src/method/options.ts";

const COMMON: CommonValues = {
  ...{ seed: 0, out: "-", json: false, dry_run: false, quiet: true, verbose: false },
};

/** What a run did and said. */
export interface Ran {
  readonly outcome: Outcome | undefined;
  readonly warnings: readonly string[];
  readonly printed: string;
  // biome-ignore lint/suspicious/noExplicitAny: the figures that the command gives as JSON
  readonly json: any;
}

/** `adapt extract`. Throws what it throws. */
export async function runExtract(
  args: readonly string[],
  out: string,
  given: Partial<Values<typeof EXTRACT>>,
): Promise<Ran> {
  const defaults = { rank: 128, distribute_scale: true, sv_epsilon: 0, dtype: "f32" } as const;
  const unset = Object.fromEntries(Object.keys(EXTRACT).map((name) => [name, undefined]));
  const values = { ...unset, ...defaults, ...given } as Values<typeof EXTRACT>;
  const cleanups: (() => unknown)[] = [];
  const warnings: string[] = [];
  let json: unknown;
  let printed = "";
  try {
    const outcome = await extract({
      ...{ args, out, chosen: given, options: { ...COMMON, ...values, out }, settings: {}, picks: {}, decisive: {} },
      ...{ method: undefined, raw: new Map(), set: [], recipe: undefined, seed: 0, device: undefined },
      ...{ dryRun: false, quiet: true, verbose: false, stdoutTaken: false, version: "0" },
      progress: makeProgress("adapt extract", true),
      log: { run: "test", start() {}, event() {} },
      ...{ signal: new AbortController().signal, grace() {}, line() {}, text() {}, info() {} },
      json: (value) => {
        json = value;
      },
      print: (text) => {
        printed += text;
      },
      warn: (text) => void warnings.push(text),
      onExit(cleanup) {
        cleanups.push(() => cleanup(true));
        return () => {};
      },
    });
    return { outcome: outcome ?? undefined, warnings, printed, json };
  } finally {
    for (const cleanup of cleanups.reverse()) await cleanup();
  }
}
