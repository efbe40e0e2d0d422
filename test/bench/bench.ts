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
import { openGpu } from "../../src/gpu/gpu.ts";
import { table } from "../../src/text/table.ts";
import { copy } from "./figures/copy.ts";
import { decoding } from "./figures/decoding.ts";
import type { Figure, Part } from "./figures/figure.ts";
import { merges } from "./figures/merges.ts";
import { products } from "./figures/products.ts";
import { training } from "./figures/training.ts";

const PARTS: Readonly<Record<string, Part>> = { copy, products, merges, training, decoding };

function asked(): { parts: string[]; quick: boolean; json: boolean; device: string | undefined } {
  const { values } = parseArgs({
    options: {
      parts: { type: "string", default: Object.keys(PARTS).join(",") },
      quick: { type: "boolean", default: false },
      json: { type: "boolean", default: false },
      device: { type: "string" },
    },
  });
  const parts = values.parts.split(",");
  const unknown = parts.find((part) => PARTS[part] === undefined);
  if (unknown !== undefined) throw new Error(`--parts ${unknown}: there are ${Object.keys(PARTS).join(", ")}`);
  return { parts, quick: values.quick, json: values.json, device: values.device };
}

const { parts, quick, json, device } = asked();
const versionOf = async (path: string): Promise<string> =>
  (await Bun.file(new URL(path, import.meta.url)).json()).version;
const gpu = await openGpu({ device });
const { adapter } = gpu;
const machine = {
  adapter: adapter.device || adapter.description,
  driver: adapter.description,
  backend: adapter.backend,
  type: adapter.type,
  processor: `${cpus().length} x ${cpus()[0]?.model.trim() ?? "unknown"}`,
  system: `${process.platform} ${process.arch} ${release()}`,
  versions: {
    ingot: await versionOf("../../package.json"),
    bun: Bun.version,
    "bun-webgpu": await versionOf("../../node_modules/bun-webgpu/package.json"),
  },
  quick,
};

const figures: Figure[] = [];
for (const part of parts) {
  process.stderr.write(`${part} …\n`);
  figures.push(...(await PARTS[part]!(gpu, { quick })));
}
if (json) process.stdout.write(`${JSON.stringify({ ...machine, figures }, null, 2)}\n`);
else {
  const { versions, ...told } = machine;
  const lines = Object.entries({ ...told, ...versions }).map(([name, value]) => `${name}: ${value}`);
  const rows = figures.map(({ name, value, unit }) => [name, value.toPrecision(3), unit]);
  process.stdout.write(`${lines.join("\n")}\n\n${table([["what", "value", "unit"], ...rows], { align: "lrl" })}\n`);
}
process.exit(0);
