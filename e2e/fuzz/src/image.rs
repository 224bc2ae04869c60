use drydock_contract::{Crop, Preprocessing, Resize};
use drydock_preprocessing::Images;

/// What a server's own budget would refuse to decode; a fuzzer that decodes it finds nothing but time.
const MOST_BYTES: usize = 16 << 20;

/// An image file, for models that take it as it is, resized, letterboxed and cropped, in colour and in grey.
pub fn image(data: &[u8]) -> bool {
    let resized = |resize| Preprocessing { scale: 1.0, resize: Some(resize), ..Preprocessing::default() };
    let exact = Resize { width: Some(16), height: Some(24), ..Resize::default() };
    let ways = [
        (Preprocessing { scale: 1.0, ..Preprocessing::default() }, [3, -1, -1]),
        (resized(Resize { letterbox: Some(114), ..exact }), [3, 24, 16]),
        (resized(exact), [1, 24, 16]),
        (
            Preprocessing {
                crop: Some(Crop { width: 8, height: 8 }),
                ..resized(Resize { shorter_side: Some(9), ..Resize::default() })
            },
            [3, 8, 8],
        ),
    ];
    let mut taken = false;
    for (preprocessing, input) in ways {
        let images = Images::new(&preprocessing, &input).expect("these go together");
        if images.memory(data).is_ok_and(|bytes| bytes <= MOST_BYTES)
            && let Ok(tensor) = images.tensor(data)
        {
            let fits = |(size, wanted): (&i64, &i64)| *wanted == -1 || size == wanted;
            assert!(tensor.shape.iter().zip(&input).all(fits), "{:?} for {input:?}", tensor.shape);
            assert_eq!(tensor.data.len() as i64, tensor.shape.iter().product::<i64>());
            taken = true;
        }
    }
    taken
}
