/**
 * Errands for a planner with workers, as conversations: the user names a digit and workers, the assistant calls them
 * one by one, and `tool` messages are what they say. OWL: Optimized Workforce Learning for General Multi-Agent
 * Assistance in Real-World Task Automation, 2025, https://arxiv.org/abs/2505.23885
 *
 * Splits differ in the workers that are called one after another, so a planner meets compositions that it never saw.
 */
import { UserError } from "../../errors.ts";
import { Random } from "../random.ts";
import { drawInSplit, task } from "../task.ts";
import { answerOf, askedOf, type Errand, reply, workersOf } from "../worlds/errands.ts";

interface Message {
  readonly role: "user" | "assistant" | "tool";
  readonly content: string;
}

/** A demonstration: the planner does as it is asked, but for slips, where it calls any worker. */
function demonstrated(errand: Errand, slips: number, random: Random): { messages: Message[]; isRight: boolean } {
  const names = Object.keys(errand.workers);
  const messages: Message[] = [{ role: "user", content: askedOf(errand) }];
  let digit = String(errand.start);
  for (const name of errand.steps) {
    const called = random.uniform() < slips ? random.pick(names) : name;
    const content = `${called} ${digit}`;
    const heard = reply(errand, content);
    digit = "says" in heard ? heard.says : digit;
    messages.push({ role: "assistant", content }, { role: "tool", content: digit });
  }
  messages.push({ role: "assistant", content: `= ${digit}` });
  return { messages, isRight: Number(digit) === answerOf(errand) };
}

export const method = task({
  name: "errands",
  title: "Errands",
  about: "conversations of a planner that calls workers in turn, ending right or wrong",
  cite: "arXiv:2505.23885",
  splits: "by a hash of the workers in their order, whatever the seed: no composition occurs in two splits",
  options: {
    workers: { type: "2 <= number.integer <= 26", default: 5, help: "workers that there are" },
    fewest: { type: "1 <= number.integer <= 20", default: 2, help: "fewest workers of an errand" },
    most: { type: "1 <= number.integer <= 20", default: 3, help: "most workers of an errand" },
    slips: { type: "0 <= number <= 1", default: 0, help: "share of calls that go to any worker" },
  },

  laws: {
    apart: true,
    distinctRows: "rows are drawn one by one, so an errand may come twice",
    answered: true,
    endless: true,
  },
  trials: [{}, { workers: 3, fewest: 1, most: 5, slips: 0.5 }],
  content: ({ group }) => String(group),

  open({ seed, split }, { workers: count, fewest, most, slips }) {
    if (fewest > most)
      throw new UserError(`--fewest ${fewest} is more than --most ${most}`, "lower the one, or raise the other");
    const workers = workersOf(seed, count);
    const names = Object.keys(workers);
    return {
      rows: Number.POSITIVE_INFINITY,
      facts: { workers: count, fewest, most },
      row(index) {
        const steps = drawInSplit(
          new Random(seed, "errands", split, index),
          split,
          (random) => Array.from({ length: fewest + random.below(most - fewest + 1) }, () => random.pick(names)),
          (drawn) => drawn.join(" "),
        );
        const random = new Random(seed, "errands", "demonstration", split, index);
        const errand: Errand = { start: random.below(10), steps, workers };
        const { messages, isRight } = demonstrated(errand, slips, random);
        return { messages, answer: String(answerOf(errand)), right: isRight, group: steps.join(" "), errand };
      },
    };
  },
});
