/**
 * CoDa: decoding against overshadowing, where what is popular drowns a part of the prompt. The prompt X is read again
 * without one of its spans, X', and the next token is drawn from
 *
 *   log p(v | X) + gamma (log p(v | X) - log p(v | X'))
 *
 * among V_top(X), the tokens with at least a share of the largest probability: what the span contributes is made more
 * of. Of several spans each token takes the most overshadowed, that of the least score
 *
 *   sum over V_top(X) and V_top(X') of min(r(v), 0)
 *   - sum over V_top(X') without V_top(X) of (log p(v | X') - min over V_top(X') of log p(u | X'))
 *
 * with r(v) = log p(v | X) - log p(v | X'). Zhang et al. 2025, The Law of Knowledge Overshadowing,
 * https://arxiv.org/abs/2502.16143. Spans are pieces of the prompt of about one length, which stand for its candidates.
 */
import { UserError } from "../../errors.ts";
import { type DecoderGiven, defineDecoder, type View } from "../../run/combining/contract.ts";
import { logProbabilities, logRatios, plausible } from "../../run/combining/log-probabilities.ts";

/** A prompt without the piece `index` of `count`; where nothing would be left it is as it was. */
const withoutPiece = (index: number, count: number) => (ids: readonly number[]) => {
  const [from, to] = [index, index + 1].map((at) => Math.floor((at * ids.length) / count));
  const rest = [...ids.slice(0, from), ...ids.slice(to)];
  return rest.length > 0 ? rest : ids;
};

/** A prompt without the first tokens that read as the text. Throws UserError where it has none. */
const withoutText =
  (text: string, decode: DecoderGiven["decode"]) =>
  (ids: readonly number[]): readonly number[] => {
    const wanted = text.trim();
    // The shortest tokens that hold the text: the last ones that begin before it, and the first that end behind.
    for (let to = 1; to <= ids.length; to++) {
      if (!decode(ids.slice(0, to)).includes(wanted)) continue;
      let from = to - 1;
      while (from > 0 && !decode(ids.slice(from, to)).includes(wanted)) from--;
      return [...ids.slice(0, from), ...ids.slice(to)];
    }
    throw new UserError(
      `--coda-span ${text}: a prompt does not hold it`,
      "give a part of every prompt, or leave it out",
    );
  };

/** How overshadowed what `without` lacks is: 0 and below. Both are log-probabilities (V). */
export function overshadowing(whole: Float64Array, without: Float64Array, share: number): number {
  const [top, other] = [whole, without].map((logs) => plausible(logs, share));
  const likely = [...without.keys()].filter((id) => other![id]! > Number.NEGATIVE_INFINITY);
  const least = likely.reduce((a, id) => Math.min(a, without[id]!), Number.POSITIVE_INFINITY);
  const isKept = (id: number) => top![id]! > Number.NEGATIVE_INFINITY;
  return likely.reduce(
    (sum, id) => sum + (isKept(id) ? Math.min(whole[id]! - without[id]!, 0) : least - without[id]!),
    0,
  );
}

export const method = defineDecoder({
  name: "coda",
  title: "CoDa",
  about: "makes more of the part of a prompt that popular knowledge drowns",
  cite: "arXiv:2502.16143",
  options: {
    coda_span: {
      type: "string",
      help: "the part of every prompt to make more of, the first one that reads so; searched for when left out",
      value: "TEXT",
    },
    coda_spans: {
      type: "1 <= number.integer <= 64",
      help: "pieces of the prompt among which it is searched, each with a pass and a cache of its own; 4 when left out",
      value: "N",
    },
    coda_gamma: { type: "number >= 0", default: 1, help: "how much more; 0: as the model is", value: "G" },
    coda_plausible: {
      type: "0 < number <= 1",
      default: 0.1,
      help: "share of the largest probability that a token must have",
      value: "A",
    },
  },
  laws: {
    shiftFree: true,
    alike: "tokens that are not plausible are left out",
    whole: "tokens that are not plausible are left out",
  },
  models: [1, 1],
  roles: "one model",
  make({ values: { coda_span: text, coda_spans: asked, coda_gamma: gamma, coda_plausible: share }, decode }) {
    if (text !== undefined && asked !== undefined)
      throw new UserError("--coda-span names the span, and --coda-spans is for a search", "leave one out");
    const count = asked ?? 4;
    const spans: View["prompt"][] =
      text === undefined
        ? Array.from({ length: count }, (_, i) => withoutPiece(i, count))
        : [withoutText(text, decode)];
    return {
      views: [{ model: 0 }, ...spans.map((prompt) => ({ model: 0, ...(prompt && { prompt }) }))],
      begin: () => (said, place) => {
        const [whole, ...others] = said.map((logits) => logProbabilities(logits));
        const scores = others.map((without) => overshadowing(whole!, without, share));
        const span = scores.indexOf(Math.min(...scores));
        if (text === undefined) place.note("span", span);
        place.note("overshadowing", scores[span]!);
        const more = logRatios(whole!, others[span]!);
        return plausible(whole!, share).map((x, id) => (x === Number.NEGATIVE_INFINITY ? x : x + gamma * more[id]!));
      },
    };
  },
});
