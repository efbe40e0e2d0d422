/**
 * A model's logits where every prompt has its own way through the layers: prompts of one way are read and continued
 * together by a decoder of their own, which computes no layer that the way leaves out.
 *
 * Memory besides the model: the caches of the ways that were taken last.
 */
import { depthOf } from "../../model/depth.ts";
import type { Model } from "../../model/model.ts";
import { Decoder } from "./decoder.ts";
import type { LogitSource, ReadOptions } from "./logit-source.ts";

/** Ways whose programs are kept. */
const MOST_WAYS = 16;

/** Says of prompts how often each layer runs. */
export interface Routing {
  route(prompts: readonly (readonly number[])[]): Promise<readonly (readonly number[])[]>;
  free(): void;
}

interface Way {
  readonly decoder: Decoder;
  readonly rows: number[];
}

export class RoutedDecoder implements LogitSource {
  readonly #model: Model;
  readonly #ref: string;
  readonly #routing: Routing;
  readonly #decoders = new Map<string, Decoder>();
  /** Of the prompts that were read last. */
  #ways: readonly Way[] = [];
  #times: readonly (readonly number[])[] = [];
  #layers = 0;
  #answers = 0;

  /** `ref` names the model in messages. The routing is freed with this. */
  constructor(model: Model, ref: string, routing: Routing) {
    this.#model = model;
    this.#ref = ref;
    this.#routing = routing;
  }

  get sizes(): LogitSource["sizes"] {
    return this.#model.sizes;
  }

  /** The decoder of a way, which becomes the latest one. */
  #decoder(times: readonly number[]): Decoder {
    const key = times.join();
    const isPlain = times.every((count) => count === 1);
    const depth = depthOf(times);
    const found =
      this.#decoders.get(key) ?? new Decoder(this.#model, this.#ref, isPlain ? {} : { prompt: depth, next: depth });
    this.#decoders.delete(key);
    this.#decoders.set(key, found);
    return found;
  }

  /** Frees the decoders that were used longest ago. */
  #forget(): void {
    const used = new Set(this.#ways.map(({ decoder }) => decoder));
    for (const [key, decoder] of this.#decoders) {
      if (this.#decoders.size <= MOST_WAYS) return;
      if (used.has(decoder)) continue;
      decoder.free();
      this.#decoders.delete(key);
    }
  }

  async read(prompts: readonly (readonly number[])[], options: ReadOptions): Promise<Float32Array> {
    this.#times = await this.#routing.route(prompts);
    this.#answers += prompts.length;
    this.#layers += this.#times.flat().reduce((sum, count) => sum + count, 0);
    const ways = new Map<Decoder, Way>();
    for (const [row, times] of this.#times.entries()) {
      const decoder = this.#decoder(times);
      const way = ways.get(decoder) ?? { decoder, rows: [] };
      way.rows.push(row);
      ways.set(decoder, way);
    }
    this.#ways = [...ways.values()];
    this.#forget();
    return this.#gather(prompts.length, ({ decoder, rows }) => {
      const names = rows.map((row) => options.names[row]!);
      return decoder.read(
        rows.map((row) => prompts[row]!),
        { ...options, names },
      );
    });
  }

  next(sequences: readonly (readonly number[])[], running: ReadonlySet<number>): Promise<Float32Array> {
    return this.#gather(sequences.length, async ({ decoder, rows }) => {
      const own = new Set([...rows.keys()].filter((i) => running.has(rows[i]!)));
      if (own.size === 0) return undefined;
      return decoder.next(
        rows.map((row) => sequences[row]!),
        own,
      );
    });
  }

  /** Logits of all rows, from those of each way. */
  async #gather(count: number, ask: (way: Way) => Promise<Float32Array | undefined>): Promise<Float32Array> {
    const { outputs } = this.sizes;
    const all = new Float32Array(count * outputs);
    for (const way of this.#ways) {
      const logits = await ask(way);
      if (!logits) continue;
      for (const [i, row] of way.rows.entries())
        all.set(logits.subarray(i * outputs, (i + 1) * outputs), row * outputs);
    }
    return all;
  }

  plan(batch: number, longest: number, maxTokens: number): Promise<number> {
    return this.#decoder(Array<number>(this.#model.sizes.layers).fill(1)).plan(batch, longest, maxTokens);
  }

  notes(row: number): Readonly<Record<string, unknown>> {
    return { layers: this.#times[row] };
  }

  summary(): string {
    const { layers } = this.#model.sizes;
    return `${(this.#layers / Math.max(1, this.#answers)).toFixed(2)} of ${layers} layers run for an answer, in the mean`;
  }

  free(): void {
    for (const decoder of this.#decoders.values()) decoder.free();
    this.#decoders.clear();
    this.#routing.free();
  }
}
