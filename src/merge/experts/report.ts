/** What building a mixture takes, before it is done. */
import { uploadText } from "../../checkpoint/hub/upload.ts";
import { asFarAsItGoes } from "../../gpu/dry-device.ts";
import { type Gpu, openGpu } from "../../gpu/gpu.ts";
import { humanBytes } from "../../text/format.ts";
import { table } from "../../text/table.ts";
import { centroidBytes } from "./centroid-gates.ts";
import { innerOf } from "./dense-model.ts";
import type { MixtureParts, MixturePlan } from "./plan.ts";
import { PIECE } from "./values.ts";

/** What is needed of the context of a script. */
interface Printer {
  readonly out: string;
  readonly device: string | undefined;
  readonly options: { readonly calib?: unknown; readonly calib_tokens: number };
  print(text: string): void;
  json(value: unknown): void;
}

export interface PlannedMixture extends Omit<MixtureParts, "rows"> {
  readonly plan: MixturePlan;
  /** Bytes of the file where it is of another form than the plan. */
  readonly written: number | undefined;
  /** Makes the rows of routers. */
  readonly gates: (gpu: () => Promise<Gpu>) => Promise<unknown>;
}

/** Bytes of a tensor's piece on its way: as stored, in f32, and as written. */
const PIECES = 4;

/** Prints sizes and memory. Rows of routers are made on a device that computes nothing, as far as that goes. */
export async function printMixture(printer: Printer, planned: PlannedMixture): Promise<void> {
  const { plan, form, base, experts, shared, perToken, written, gates } = planned;
  let gpu: Gpu | undefined;
  await asFarAsItGoes(() =>
    gates(async () => {
      gpu = await openGpu({ device: printer.device, dry: true });
      return gpu;
    }),
  );
  const bytes = written ?? plan.tensors.reduce((sum, tensor) => sum + tensor.bytes, 0);
  const rows = 4 * base.sizes.layers * base.sizes.width * (experts.length + 1);
  const calib = printer.options.calib ? centroidBytes(printer.options.calib_tokens, base.sizes.width) : 0;
  const host = PIECES * PIECE + rows + calib;
  const gpuBytes = gpu?.pool.peak ?? 0;
  printer.print(
    table([
      ["layout", `${form.title} (${form.name})`],
      [
        "experts",
        `${experts.length}, ${perToken} of each token, ${innerOf(experts[0]!.model)} wide${shared.length > 0 ? ", and a shared one" : ""}`,
      ],
      ["tensors", String(plan.tensors.length)],
      ["writes", humanBytes(bytes)],
      ["GPU memory", gpuBytes === 0 ? "none" : `at least ${humanBytes(gpuBytes)}, for the states of ${base.ref}`],
      ["host memory", `at most ${humanBytes(host)} beside the process; a software driver's GPU memory comes on top`],
      ["to", printer.out === "-" ? "stdout" : printer.out.startsWith("hf:") ? uploadText(printer.out) : printer.out],
    ]),
  );
  printer.json({
    ...{ architecture: form.name, experts: experts.length, experts_per_token: perToken, tensors: plan.tensors.length },
    ...{ output: bytes, gpu_memory: gpuBytes, host_memory: host, out: printer.out },
  });
}
