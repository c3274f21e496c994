"""Classes of torch-cam, pytorch-grad-cam and captum as methods: run, judged and timed by the same loop as ours."""
