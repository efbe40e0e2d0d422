/** Runs training inside the test's process, in a folder of small tasks, and cuts it off at any step. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { adapt } from "../../../src/adapt/command.ts";
import { ADAPT } from "../../../src/adapt/options.ts";
import { command } from "../../../src/cli/commands.ts";
import type { Outcome } from "../../../src/cli/context.ts";
import { resolve } from "../../../src/cli/resolve.ts";
import { makeContext } from "../../../src/cli/run-context.ts";
import { train } from "../../../src/train/command.ts";
import { TRAIN } from "../../../src/train/options.ts";
import { normals } from "../../support/random.ts";

const ADAPTS = {
  name: "adapt",
  ...command({
    about: "",
    args: "[model]",
    examples: [],
    methods: "continual",
    defaultMethod: "seq",
    output: "checkpoint",
    options: ADAPT,
    run: adapt,
  }),
};

/** The script `train`. */
export const TRAINS = {
  name: "train",
  ...command({ about: "", args: "[model]", examples: [], output: "checkpoint", options: TRAIN, run: train }),
};

export interface Ran {
  readonly outcome: Outcome | undefined;
  // biome-ignore lint/suspicious/noExplicitAny: the figures that the command gives as JSON
  readonly json: any;
  readonly events: readonly Readonly<Record<string, unknown>>[];
  readonly printed: string;
}

/** Stops a run as the first Ctrl-C does, once this step, of this task where there are several, is logged. */
export interface Cut {
  readonly task?: string;
  readonly step: number;
}

export class StreamLab {
  readonly #definition: typeof ADAPTS | typeof TRAINS;
  readonly folder = mkdtempSync(join(tmpdir(), "ingot-stream-"));

  constructor(definition: typeof ADAPTS | typeof TRAINS = ADAPTS) {
    this.#definition = definition;
  }

  at(name: string): string {
    return join(this.folder, name);
  }

  write(name: string, rows: readonly unknown[]): string {
    writeFileSync(this.at(name), `${rows.map((row) => JSON.stringify(row)).join("\n")}\n`);
    return this.at(name);
  }

  json(name: string, value: unknown): string {
    writeFileSync(this.at(name), JSON.stringify(value));
    return this.at(name);
  }

  bytes(name: string): Buffer {
    return readFileSync(this.at(name));
  }

  /** A run of a line of options, in which @name is a file of the lab. */
  async run(line: string, cut?: Cut): Promise<Ran> {
    const argv = line.split(/\s+/).map((word) => word.replaceAll(/@([\w./-]+)/g, (_, name) => this.at(name)));
    const resolved = await resolve(this.#definition, [...argv, "--quiet"]);
    const abort = new AbortController();
    const events: Record<string, unknown>[] = [];
    let json: unknown;
    let printed = "";
    const { promise: overdue } = Promise.withResolvers<never>();
    const signals = {
      ...{ signal: abort.signal, reason: () => undefined, overdue, isOverdue: () => false, grace() {}, stop() {} },
    };
    const log = {
      ...{ run: "test", start() {}, end() {}, close() {} },
      event(name: string, fields: Record<string, unknown> = {}) {
        events.push({ event: name, ...fields });
        if (cut && name === "step" && fields.task === cut.task && fields.step === cut.step) abort.abort();
      },
    };
    const { context, finish } = makeContext(this.#definition, resolved, "none", true, log, signals);
    let ok = false;
    try {
      const told = {
        json(value: unknown) {
          json = value;
        },
        print(text: string) {
          printed += text;
        },
      };
      const outcome = (await this.#definition.run({ ...context, ...told })) ?? undefined;
      ok = true;
      return { outcome, json, events, printed };
    } catch (error) {
      if (!abort.signal.aborted) throw error;
      return { outcome: undefined, json, events, printed };
    } finally {
      await finish(ok);
    }
  }

  close(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/**
 * Rows of task `task` for a classifier of 8 numbers: two classes that differ in a pair of numbers of the task's own.
 * `first` is the first row, so that held-out rows are others; `label` the label of the first class.
 */
export const pairRows = (task: number, count: number, { first = 0, label = 0 } = {}) =>
  Array.from({ length: count }, (_, i) => {
    const x = [...normals(10_000 * task + first + i, 8)].map((value) => 0.4 * value);
    const own = (first + i) % 2;
    x[2 * task + own]! += 2;
    return { x: x.map((value) => Number(value.toFixed(4))), label: label + own };
  });

/** config.json of a small network for them. */
export const NET = { model_type: "mlp", input_size: 8, hidden_sizes: [12], num_labels: 2 };
