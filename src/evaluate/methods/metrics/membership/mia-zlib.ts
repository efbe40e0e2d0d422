/**
 * Membership by the mean loss divided by the bytes of the text after deflate (zlib's format, default level). Carlini et
 * al., USENIX Security 2021, https://arxiv.org/abs/2012.07805. Other builds of zlib may find a few bytes less.
 */
import { byZlib } from "../../../measures/membership.ts";
import { membershipMetric } from "../../../membership-metric.ts";

export const method = membershipMetric({
  name: "mia-zlib",
  title: "Membership by loss and zlib",
  about: "the mean loss divided by the deflated bytes of the answer",
  formula:
    "chance that a row of holdout has a larger mean loss per byte of its deflated answer than one of forget; equals count half",
  reads: "the answers of the groups forget and holdout, as text",
  cite: "arXiv:2012.07805",
  needs: "packed-bytes",
  score: byZlib,
});
