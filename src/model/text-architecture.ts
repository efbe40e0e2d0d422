/** An architecture as the text part of a model of several parts: the same equations over tensors of other names. */
import type { RoutePlan } from "../tensor/ops/router.ts";
import type { Recorder } from "../tensor/recorder.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { Architecture, AttendOptions, Net } from "./architecture.ts";
import type { TextLayout } from "./multimodal.ts";
import type { Routed } from "./routing.ts";

/** A network whose weights are asked for by the architecture's names. */
class PlacedNet implements Net {
  readonly rec: Recorder;
  readonly statistics: Net["statistics"];
  readonly #net: Net;
  readonly #place: TextLayout["place"];

  constructor(net: Net, place: TextLayout["place"]) {
    this.rec = net.rec;
    this.statistics = net.statistics;
    this.#net = net;
    this.#place = place;
  }

  weight(name: string): Tensor {
    return this.#net.weight(this.#place(name));
  }

  linear(x: Tensor, module: string, options?: { readonly add?: Tensor }): Tensor {
    return this.#net.linear(x, this.#place(module), options);
  }

  experts(x: Tensor, name: string, plan: RoutePlan, options?: { readonly transposed?: boolean }): Tensor {
    return this.#net.experts(x, this.#place(name), plan, options);
  }

  embed(ids: Tensor, module: string, options?: { readonly fixed?: number | undefined }): Tensor {
    return this.#net.embed(ids, this.#place(module), options);
  }

  project(x: Tensor, weight: string, bias?: string): Tensor {
    return this.#net.project(x, this.#place(weight), bias === undefined ? undefined : this.#place(bias));
  }

  matrix(module: string): Tensor | undefined {
    return this.#net.matrix(this.#place(module));
  }

  block(run: () => Tensor): Tensor {
    return this.#net.block(run);
  }

  layers(count: number, x: Tensor, run: (layer: number, x: Tensor) => Tensor): Tensor {
    return this.#net.layers(count, x, run);
  }

  kept(layer: number): readonly [number, ...number[]] {
    return this.#net.kept(layer);
  }

  attend(q: Tensor, k: Tensor, v: Tensor, options: AttendOptions): Tensor {
    return this.#net.attend(q, k, v, options);
  }

  note(name: string, x: Tensor): Tensor {
    return this.#net.note(name, x);
  }

  noted(name: string): Tensor {
    return this.#net.noted(name);
  }

  routed(layer: number, routed: Routed): void {
    this.#net.routed(layer, routed);
  }

  get ranks(): readonly number[] | undefined {
    return this.#net.ranks;
  }

  active(layer: number, k: number): number {
    return this.#net.active(layer, k);
  }
}

/** The architecture over tensors in this layout. `whole` is the model_type of the model that it is a part of. */
export function textArchitecture(
  { basePrefix: _, ignored, tiedHead, ...architecture }: Architecture,
  { place, plain }: TextLayout,
  whole: string,
): Architecture {
  return {
    ...architecture,
    partOf: { whole, part: "text part" },
    ...(ignored ? { ignored: { test: (name) => ignored.test(plain(name) ?? "") } } : {}),
    ...(tiedHead
      ? {
          tiedHead: (config) => {
            const tied = tiedHead(config);
            return tied && { ...tied, head: place(tied.head), table: place(tied.table) };
          },
        }
      : {}),
    parameters: (config) =>
      architecture.parameters(config).map(({ parts, ...spec }) => ({
        ...spec,
        name: place(spec.name),
        ...(parts ? { parts: parts.map(place) } : {}),
      })),
    forward: (net, config, inputs) => architecture.forward(new PlacedNet(net, place), config, inputs),
    head: (net, config, hidden) => architecture.head(new PlacedNet(net, place), config, hidden),
  };
}
