// Finding what is on the page.

export const el = (id) => document.getElementById(id);
export const button = (act) => document.querySelector(`button[data-act="${act}"]`);
export const radios = () => document.querySelectorAll('input[name="diagnosis"]');
