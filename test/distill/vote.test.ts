import { expect, test } from "bun:test";
import { voteOn } from "../../src/distill/vote.ts";

test("classifiers that are one vote for its class; most of several win", () => {
  const own = [0.1, 0.6, 0.3];
  expect(voteOn([own, own, own])).toEqual({ label: 1, share: 1 });
  expect(voteOn([own])).toEqual({ label: 1, share: 1 });
  expect(voteOn([own, [0.9, 0.05, 0.05], [0.34, 0.33, 0.33]])).toEqual({ label: 0, share: 2 / 3 });
});

test("of classes with as many votes the likelier wins, and then the lower", () => {
  expect(
    voteOn([
      [0.6, 0.4],
      [0.1, 0.9],
    ]),
  ).toEqual({ label: 1, share: 0.5 });
  expect(
    voteOn([
      [0.25, 0.75],
      [0.75, 0.25],
    ]),
  ).toEqual({ label: 0, share: 0.5 });
});
