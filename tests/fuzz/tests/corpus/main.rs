//! The corpus, and mutations of it: the same ones each time, so that what fails once fails again.
//! How many is up to `FUZZ_INPUTS`.

mod mutate;

use std::{env, fs, path::Path};

use mutate::Mutator;

/// Without `FUZZ_INPUTS`: a second's worth.
const INPUTS: usize = 20_000;

#[test]
fn mutations_of_the_corpus_keep_what_holds_for_every_answer() {
    try_mutations("answer", cxone_fuzz::answer);
}

#[test]
fn mutations_of_the_corpus_keep_what_holds_for_every_token_answer() {
    try_mutations("token", cxone_fuzz::token);
}

/// Every header vector is in the corpus, so that mutations start from what servers send.
#[test]
fn every_header_vector_is_in_the_corpus() {
    let vectors = include_str!("../../../vectors/headers.json");
    let vectors: serde_json::Value = serde_json::from_str(vectors).unwrap();
    for vector in vectors["vectors"].as_array().unwrap() {
        let mut answer = format!("{}\n", vector["status"]);
        let mut headers: Vec<_> = vector["headers"].as_object().unwrap().iter().collect();
        // Whether a map of serde_json is sorted is up to the other crates of the build.
        headers.sort_by_key(|(name, _)| *name);
        for (name, value) in headers {
            let one = std::slice::from_ref(value);
            for value in value.as_array().map_or(one, Vec::as_slice) {
                answer += &format!("{name}: {}\n", value.as_str().unwrap());
            }
        }
        let id = vector["id"].as_str().unwrap();
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/answer").join(id);
        if env::var_os("UPDATE_CORPUS").is_some() {
            fs::write(&file, &answer).unwrap();
        }
        let kept = fs::read_to_string(&file).unwrap_or_default();
        assert_eq!(kept, answer, "{id}: run this test once with UPDATE_CORPUS=1");
    }
}

fn try_mutations(target: &str, holds: fn(&[u8])) {
    let inputs = env::var("FUZZ_INPUTS").map_or(INPUTS, |n| n.parse().expect("a number"));
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let mut files: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort(); // the order of a folder is not the same everywhere
    let corpus: Vec<_> = files.iter().map(|file| fs::read(file).unwrap()).collect();
    assert!(!corpus.is_empty());
    let mut mutator = Mutator::new(corpus.clone());
    let mutations = (0..inputs).map(|_| mutator.next());
    for input in corpus.into_iter().chain(mutations) {
        let input = Shown(input);
        holds(&input.0);
    }
}

/// An input that is printed if it fails, as it would stand in the corpus.
struct Shown(Vec<u8>);

impl Drop for Shown {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the input was b\"{}\"", self.0.escape_ascii());
        }
    }
}
