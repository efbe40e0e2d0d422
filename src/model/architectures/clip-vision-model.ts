/**
 * CLIP's vision tower alone, with its projection (CLIPVisionModelWithProjection) or without (CLIPVisionModel, as
 * published models that were tuned for merging are). https://arxiv.org/abs/2103.00020
 */
import type { Architecture } from "../architecture.ts";
import { type ClipConfig, clipConfig, clipVision } from "../blocks/clip.ts";
import { ConfigReader } from "../config.ts";
import { INITIAL_SCALE, zeroShotHead } from "../zero-shot-head.ts";

export const method: Architecture<ClipConfig> = {
  name: "clip_vision_model",
  title: "CLIP vision tower",
  about: "classifier of images by the features of texts that name the classes: CLIP's vision tower",
  cite: "arXiv:2103.00020",
  options: {},
  className: "CLIPVisionModelWithProjection",
  ignored: /\.position_ids$/,
  beside: zeroShotHead,
  ...clipVision,

  config(json, where) {
    const c = new ConfigReader(json, where);
    void c.number("initializer_factor", 1);
    const initialScale = Math.exp(c.number("logit_scale_init_value", INITIAL_SCALE));
    return clipConfig(c, { shared: c.count("projection_dim", 512), initialScale, labels: c });
  },

  implied: (c) => ({
    hidden_size: c.width,
    intermediate_size: c.inner,
    num_hidden_layers: c.layers,
    num_attention_heads: c.heads,
    image_size: c.image,
    patch_size: c.patch,
    num_channels: c.channels,
    hidden_act: c.activation,
    layer_norm_eps: c.eps,
    initializer_range: c.std,
    projection_dim: c.shared,
    num_labels: c.classes,
  }),
};
