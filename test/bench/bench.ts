/**
 * What this adapter does, as a row for docs/performance.md: a copy, products, merges, a training step, decoding.
 *
 *   bun run bench                              all parts, some minutes
 *   bun run bench --quick                      small sizes and few runs, half a minute
 *   bun run bench --parts copy,products --json > mine.json
 *   bun run bench --device discrete
 *
 * The table goes to stdout, `--json` in its place: adapter, driver, versions and figures. The fastest of several runs
 * counts; merges are in floors (whole-merges.ts).
 */
import { cpus, release } from "node:os";
import { parseArgs } from "node:util";
import { explain } from "../../src/cli/explain.ts";
import { UserError } from "../../src/errors.ts";
import { type Gpu, openGpu } from "../../src/gpu/gpu.ts";
import { providersOf } from "../../src/setup/diagnose.ts";
import { table } from "../../src/text/table.ts";
import { copy } from "./figures/copy.ts";
import { decoding } from "./figures/decoding.ts";
import type { Figure, Part } from "./figures/figure.ts";
import { merges } from "./figures/merges.ts";
import { products } from "./figures/products.ts";
import { training } from "./figures/training.ts";

const PARTS: Readonly<Record<string, Part>> = { copy, products, merges, training, decoding };

/** What the command line asks for. Throws UserError for what there is not. */
function asked() {
  try {
    const { values } = parseArgs({
      options: {
        parts: { type: "string", default: Object.keys(PARTS).join(",") },
        quick: { type: "boolean", default: false },
        json: { type: "boolean", default: false },
        device: { type: "string" },
      },
    });
    const parts = values.parts.split(",").map((name) => {
      const measure = PARTS[name];
      if (!measure) throw new UserError(`--parts ${name}: no such part`, `there are ${Object.keys(PARTS).join(", ")}`);
      return { name, measure };
    });
    return { ...values, parts };
  } catch (error) {
    if (error instanceof UserError) throw error;
    const message = error instanceof Error ? error.message : String(error);
    throw new UserError(message.split(". ")[0] ?? message, "the options are --parts, --quick, --json and --device");
  }
}

const versionOf = async (path: string): Promise<string> =>
  (await Bun.file(new URL(path, import.meta.url)).json()).version;

/** The provider of WebGPU that is asked, with its version. */
const providerInUse = (): Record<string, string> =>
  Object.fromEntries(
    providersOf(process.env.INGOT_WEBGPU).flatMap(({ name, version, asked: isAsked }) =>
      isAsked ? [[name, version]] : [],
    ),
  );

/** The adapter, and what drives it. */
const machineOf = async ({ adapter }: Gpu, quick: boolean) => ({
  adapter: adapter.device || adapter.description,
  driver: adapter.description,
  backend: adapter.backend,
  type: adapter.type,
  processor: `${cpus().length} x ${cpus()[0]?.model.trim() ?? "unknown"}`,
  system: `${process.platform} ${process.arch} ${release()}`,
  versions: {
    ingot: await versionOf("../../package.json"),
    bun: Bun.version,
    ...providerInUse(),
  },
  quick,
});

async function main(): Promise<void> {
  const { parts, quick, json, device } = asked();
  const gpu = await openGpu({ device });
  const machine = await machineOf(gpu, quick);
  const figures: Figure[] = [];
  for (const { name, measure } of parts) {
    process.stderr.write(`${name} …\n`);
    figures.push(...(await measure(gpu, { quick })));
  }
  if (json) return void process.stdout.write(`${JSON.stringify({ ...machine, figures }, null, 2)}\n`);
  const { versions, ...told } = machine;
  const lines = Object.entries({ ...told, ...versions }).map(([name, value]) => `${name}: ${value}`);
  const rows = figures.map(({ name, value, unit }) => [name, value.toPrecision(3), unit]);
  process.stdout.write(`${lines.join("\n")}\n\n${table([["what", "value", "unit"], ...rows], { align: "lrl" })}\n`);
}

process.exit(
  await main().then(
    () => 0,
    (error: unknown) => explain("bench", error),
  ),
);
