/** What methods did on streams at test time, in numbers and as a table. */
import type { Json } from "../json.ts";
import { joined, type Score, type StretchScore } from "../run/test-time/stream.ts";
import { table } from "../text/table.ts";

/** What one method did on one stream. */
export interface StreamResult {
  readonly method: string;
  readonly stream: string;
  readonly rows: number;
  readonly error: number | null;
  /** Share of the answer that was given most, in the mean over stretches. */
  readonly top_share: number;
  /** Error on the clean rows, after the stream. */
  readonly source_error: number | null;
  /** By repetition; of one alone the whole. */
  readonly repetitions: readonly { readonly error: number | null; readonly top_share: number }[];
  /** Error of the last repetition less that of the first; null of streams that come once. */
  readonly collapse: number | null;
  /** In the order of the stream; of a mixed one by corruption. */
  readonly domains: readonly {
    readonly domain: string;
    readonly repetition: number;
    readonly rows: number;
    readonly error: number | null;
    readonly top_share: number;
  }[];
  /** What the method says of the stream. */
  readonly tells: Readonly<Record<string, Json>>;
  /** From the first batch to the last, without what the method did before. */
  readonly seconds: number;
}

const numbersOf = ({ rows, error, topShare }: Score) => ({ rows, error: error ?? null, top_share: topShare });

/** Domains of a stretch: itself, or of one that holds several each of them. */
const domainsOf = ({ stretch, domains, ...score }: StretchScore) =>
  domains.size === 1
    ? [{ domain: stretch.name, repetition: stretch.repetition, ...numbersOf(score) }]
    : [...domains].map(([domain, own]) => ({ domain, repetition: stretch.repetition, ...numbersOf(own) }));

export function streamResult(given: {
  readonly method: string;
  readonly stream: string;
  readonly scores: readonly StretchScore[];
  readonly afterwards: Score;
  readonly tells: Readonly<Record<string, Json>>;
  readonly seconds: number;
}): StreamResult {
  const { method, stream, scores, afterwards, tells, seconds } = given;
  const repetitions = [...Map.groupBy(scores, (score) => score.stretch.repetition).values()].map((own) => {
    const { error, top_share } = numbersOf(joined(own));
    return { error, top_share };
  });
  const [first, last] = [repetitions[0]!, repetitions.at(-1)!];
  const collapse =
    repetitions.length > 1 && first.error !== null && last.error !== null ? last.error - first.error : null;
  return {
    ...{ method, stream, ...numbersOf(joined(scores)), source_error: afterwards.error ?? null },
    ...{ repetitions, collapse, domains: scores.flatMap(domainsOf), tells, seconds },
  };
}

const percent = (share: number | null): string => (share === null ? "–" : (100 * share).toFixed(1));
const points = (share: number | null): string =>
  share === null ? "–" : `${share < 0 ? "−" : "+"}${Math.abs(100 * share).toFixed(1)}`;

/** A line for every method and stream; all numbers but the difference in percent, time in that of the source. */
export function streamTable(results: readonly StreamResult[]): string {
  const plain = new Map(
    results.flatMap(({ method, stream, seconds }) => (method === "source" ? [[stream, seconds] as const] : [])),
  );
  const cost = (stream: string, seconds: number) => {
    const least = plain.get(stream);
    return least === undefined ? "–" : `${(seconds / least).toFixed(1)} x`;
  };
  return table(
    [
      ["method", "stream", "error %", "first", "last", "collapse", "top class %", "clean %", "time"],
      ...results.map(({ method, stream, error, repetitions, collapse, top_share, source_error, seconds }) => [
        method,
        stream,
        percent(error),
        percent(repetitions[0]!.error),
        percent(repetitions.at(-1)!.error),
        points(collapse),
        percent(repetitions.at(-1)!.top_share ?? top_share),
        percent(source_error),
        cost(stream, seconds),
      ]),
    ],
    { align: "llrrrrrrr" },
  );
}
