/** A verifier that asks a command, batch by batch. */
import type { Answered, Judging } from "../contract.ts";
import { Exchange, ExchangeError } from "./exchange.ts";
import type { CommandLimits } from "./limits.ts";
import { failed, questionOf, rewardIn } from "./protocol.ts";

/** Judges by a line of the shell, which runs in the folder that the script was called in. */
export function commandVerifier(command: string, { seconds, batch, keep }: CommandLimits): Judging {
  let kept: Exchange | undefined;
  const askAll = async (answers: readonly Answered[], signal: AbortSignal): Promise<(number | null)[]> => {
    const questions = answers.map(questionOf);
    kept ??= new Exchange(command, keep);
    const exchange = kept;
    if (!keep) kept = undefined;
    let lines: readonly string[];
    try {
      lines = await exchange.ask(questions, seconds, signal);
    } catch (error) {
      kept = undefined;
      if (!(error instanceof ExchangeError)) throw error;
      const places = answers.map(({ place }) => place);
      // A line that is no reward tells more than the end that followed it.
      for (const [index, line] of error.lines.entries()) rewardIn(line, { place: places[index]!, index, command });
      const { lines: written, told } = error;
      throw failed(error.failure, { command, places, lines: written.length, told, seconds, keep });
    }
    try {
      return lines.map((line, index) => rewardIn(line, { place: answers[index]!.place, index, command }));
    } catch (error) {
      exchange.kill();
      kept = undefined;
      throw error;
    }
  };
  return {
    async score(answers, signal) {
      const rewards: (number | null)[] = [];
      for (let from = 0; from < answers.length; from += batch)
        rewards.push(...(await askAll(answers.slice(from, from + batch), signal)));
      return rewards;
    },
    free() {
      kept?.kill();
      kept = undefined;
    },
  };
}
