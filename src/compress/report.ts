/** What `compress` tells of a plan and of a run. */
import type { OutputPlan } from "../checkpoint/write/shards.ts";
import type { Values } from "../method/options.ts";
import type { CommandContext, Outcome } from "../run/command-context.ts";
import { humanBytes } from "../text/format.ts";
import type { LayerReport } from "./compress-model.ts";
import type { Memory } from "./memory.ts";
import type { COMPRESS } from "./options.ts";

type CompressContext = CommandContext & { readonly options: Values<typeof COMPRESS> & { readonly json: boolean } };

export interface Planned {
  readonly plan: OutputPlan;
  readonly format: string;
  /** Bytes of the model's tensors. */
  readonly before: number;
  readonly matrices: number;
  readonly rows: number;
  readonly memory: Memory;
}

export const bytesOf = ({ tensors }: Pick<OutputPlan, "tensors">): number =>
  tensors.reduce((sum, { bytes }) => sum + bytes, 0);

/** What a run would do. */
export function tellPlan(context: CompressContext, planned: Planned): Outcome {
  const { plan, format, before, matrices, rows, memory } = planned;
  const after = bytesOf(plan);
  if (context.options.json) context.json({ matrices, rows, format, bytes: { before, after }, memory });
  else
    context.print(
      `${matrices} matrices, ${rows} rows; ${humanBytes(before)} -> ${humanBytes(after)} (${format}); ` +
        `at most ${humanBytes(memory.gpu)} on the GPU, ${humanBytes(memory.host)} on the host`,
    );
  return {};
}

interface Done {
  /** The most that was taken on the GPU. */
  readonly gpuBytes: number;
  readonly reports: readonly LayerReport[];
  readonly format: string;
  readonly before: number;
  readonly after: number;
}

/** The end of a run, with what it did not do. */
export function tellEnd(context: CompressContext, { reports, format, before, after, gpuBytes }: Done): Outcome {
  const { options, out } = context;
  const [first, ...more] = reports;
  const output = `${out === "-" ? "stdout" : out} (${humanBytes(after)})`;
  if (!first) {
    context.json({ matrices: 0, format, bytes: { before, after }, layers: [] });
    return { output };
  }
  const mean = reports.reduce((sum, { error }) => sum + error, 0) / reports.length;
  const worst = more.reduce((a, b) => (b.error > a.error ? b : a), first);
  const size = (report: LayerReport) => report.rows * report.columns;
  const total = reports.reduce((sum, report) => sum + size(report), 0);
  const zeros = reports.reduce((sum, report) => sum + report.zeros * size(report), 0) / total;
  const found = { matrices: reports.length, error: mean, worst: worst.name, worst_error: worst.error, zeros };
  context.json({ ...found, format, bytes: { before, after }, gpu_bytes: gpuBytes, layers: reports });
  if (options.prune && !options.quant)
    context.info("zeros are stored as any other value, so the file is as large and the model as fast as before");
  const named = options.quant ? `${format}, ` : "";
  return {
    output,
    told: `${named}E ${mean.toPrecision(3)}, most ${worst.error.toPrecision(3)} in ${worst.name}`,
    log: { ...found, gpu_bytes: gpuBytes },
  };
}
