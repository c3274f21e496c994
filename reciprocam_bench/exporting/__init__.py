"""Models that return logits and maps: a module, an ONNX file or a torch.export archive of a split network."""
