export const neurons = { id: "neurons", title: "Neurons", mount(root, app) {}, update(changed) {} };
