use drydock_contract::{Datatype, DetectionLayout};

use super::*;

const NAN: f32 = f32::NAN;
const MOST: Most = Most::OfImage(3);

fn decoder(layout: Option<DetectionLayout>, outputs: &[(&str, Datatype, &[i64])], labels: usize) -> Decoder {
    let signature = |(name, datatype, shape): &(&str, Datatype, &[i64])| TensorSignature {
        name: (*name).into(),
        datatype: *datatype,
        shape: shape.to_vec(),
    };
    let outputs: Vec<TensorSignature> = outputs.iter().map(signature).collect();
    let detection = Detection { layout, iou_threshold: 0.5, max_detections: 3, ..Detection::default() };
    Decoder::new(&detection, &outputs, labels).unwrap()
}

fn found(class: usize, score: f32, edges: [f64; 4]) -> Detected {
    Detected { class, score, bounds: Bounds::of_edges(edges) }
}

/// Two images, two classes, three anchors.
#[test]
fn classes_first() {
    let decoder = decoder(None, &[("y", Datatype::Fp32, &[-1, 6, 3])], 2);
    assert_eq!((decoder.outputs(), decoder.classes(), decoder.is_suppressed()), (vec!["y"], Some(2), false));
    #[rustfmt::skip]
    let values = [
        10.0, 11.0, 50.0,  10.0, 10.0, 50.0,  8.0, 8.0, 4.0,  8.0, 8.0, NAN,  0.5, 0.75, 0.9,  0.25, 0.25, 0.1,
        1.0, 2.0, 3.0,  1.0, 2.0, 3.0,  2.0, 2.0, 2.0,  2.0, 2.0, 2.0,  0.0, NAN, 0.2,  0.0, 0.5, 0.25,
    ];
    let output = [Array { shape: &[2, 6, 3], values: &values }];
    let made = decoder.decode(&output, 0.25, MOST).unwrap();
    // The first two overlap, the third has a height that is no number.
    assert_eq!(made[0], [found(0, 0.75, [7.0, 6.0, 15.0, 14.0])]);
    assert_eq!(made[1], [found(1, 0.5, [1.0, 1.0, 3.0, 3.0]), found(1, 0.25, [2.0, 2.0, 4.0, 4.0])]);
    assert_eq!(decoder.decode(&output, 0.6, MOST).unwrap().iter().map(Vec::len).collect::<Vec<_>>(), [1, 0]);
}

#[test]
fn objectness_times_class() {
    let decoder = decoder(None, &[("y", Datatype::Fp32, &[1, -1, 7])], 2);
    #[rustfmt::skip]
    let values = [
        4.0, 4.0, 2.0, 6.0, 0.5, 0.25, 1.0,
        4.0, 4.0, 2.0, 6.0, 0.01, 1.0, 1.0,
        9.0, 9.0, 2.0, 2.0, 1.0, 0.75, 0.5,
    ];
    let made = decoder.decode(&[Array { shape: &[1, 3, 7], values: &values }], 0.25, MOST).unwrap();
    assert_eq!(made, [vec![found(0, 0.75, [8.0, 8.0, 10.0, 10.0]), found(1, 0.5, [3.0, 1.0, 5.0, 7.0])]]);
}

/// What the model has left is left: the two overlap.
#[test]
fn boxes_as_they_are() {
    let separate = |rank: usize| {
        let boxes: &[i64] = if rank == 3 { &[-1, -1, 4] } else { &[-1, 4] };
        let beside: &[i64] = if rank == 3 { &[-1, -1] } else { &[-1] };
        let outputs =
            [("labels", Datatype::Int64, beside), ("boxes", Datatype::Fp32, boxes), ("scores", Datatype::Fp32, beside)];
        decoder(None, &outputs, 0)
    };
    let (boxes, scores, classes) = ([0.0, 0.0, 4.0, 4.0, 0.0, 0.0, 4.0, 5.0], [0.25, 0.5], [7.0, 7.0]);
    let expected = vec![found(7, 0.5, [0.0, 0.0, 4.0, 5.0]), found(7, 0.25, [0.0, 0.0, 4.0, 4.0])];
    let single = separate(2);
    assert_eq!(
        (single.outputs(), single.classes(), single.is_suppressed()),
        (vec!["boxes", "scores", "labels"], None, true)
    );
    let arrays = |lead: &'static [i64], last: &'static [i64]| {
        [
            Array { shape: last, values: &boxes },
            Array { shape: lead, values: &scores },
            Array { shape: lead, values: &classes },
        ]
    };
    assert_eq!(single.decode(&arrays(&[2], &[2, 4]), 0.1, MOST).unwrap(), std::slice::from_ref(&expected));
    let each = separate(3).decode(&arrays(&[2, 1], &[2, 1, 4]), 0.1, MOST).unwrap();
    assert_eq!(each, [expected[1..].to_vec(), expected[..1].to_vec()]);

    let nothing = Array { shape: &[0], values: &[] };
    let none = single.decode(&[Array { shape: &[0, 4], values: &[] }, nothing, nothing], 0.1, MOST).unwrap();
    assert_eq!(none, [Vec::new()]);

    let rows = decoder(Some(DetectionLayout::Boxes), &[("y", Datatype::Fp32, &[1, -1, 6])], 8);
    let values = [0.0, 0.0, 4.0, 5.0, 0.5, 7.0, 0.0, 0.0, 4.0, 4.0, 0.25, 7.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];
    assert_eq!(rows.decode(&[Array { shape: &[1, 3, 6], values: &values }], 0.1, MOST).unwrap(), [expected]);
}

#[test]
fn padding_is_cut_off_where_a_count_says_so() {
    let outputs = [
        ("num_dets", Datatype::Int32, &[-1, 1][..]),
        ("det_boxes", Datatype::Fp32, &[-1, 2, 4]),
        ("det_scores", Datatype::Fp32, &[-1, 2]),
        ("det_classes", Datatype::Int32, &[-1, 2]),
    ];
    let decoder = decoder(None, &outputs, 0);
    let arrays = [
        Array { shape: &[1, 2, 4], values: &[0.0, 0.0, 1.0, 1.0, 5.0, 5.0, 6.0, 6.0] },
        Array { shape: &[1, 2], values: &[0.5, 0.9] },
        Array { shape: &[1, 2], values: &[1.0, 1.0] },
        Array { shape: &[1, 1], values: &[1.0] },
    ];
    assert_eq!(decoder.decode(&arrays, 0.1, MOST).unwrap(), [vec![found(1, 0.5, [0.0, 0.0, 1.0, 1.0])]]);
    let error = decoder.decode(&arrays[..3], 0.1, MOST).unwrap_err();
    assert_eq!(error, DetectionError::Absent { output: "num_dets".into() });
}

#[test]
fn what_does_not_fit_is_said() {
    let v8 = decoder(Some(DetectionLayout::YoloV8), &[("y", Datatype::Fp32, &[-1, -1, -1])], 0);
    assert_eq!(v8.classes(), None);
    for (shape, values) in [(&[1, 4, 2][..], 8), (&[1, 6, 3], 17), (&[6, 3], 18), (&[1, -6, 3], 18)] {
        let values = vec![0.0; values];
        let error = v8.decode(&[Array { shape, values: &values }], 0.1, MOST).unwrap_err().to_string();
        assert!(error.contains("expected (N, 4 + C, A)"), "{shape:?}: {error}");
    }
    let signature = TensorSignature { name: "y".into(), datatype: Datatype::Fp32, shape: vec![1, 84, 8400] };
    let declared = Detection { layout: Some(DetectionLayout::YoloV8), ..Detection::default() };
    let error = Decoder::new(&declared, &[signature], 3).unwrap_err();
    assert_eq!(error, DetectionError::Classes { output: "y".into(), found: 80, labels: 3 });
}

/// A model without a box in any image answers so for each of them.
#[test]
fn no_boxes_are_an_empty_list_for_each_image() {
    for (layout, shape) in [
        (DetectionLayout::Boxes, [2, 0, 6]),
        (DetectionLayout::YoloV8, [2, 6, 0]),
        (DetectionLayout::YoloV5, [2, 0, 7]),
    ] {
        let decoder = decoder(Some(layout), &[("y", Datatype::Fp32, &[-1, -1, -1])], 2);
        let found = decoder.decode(&[Array { shape: &shape, values: &[] }], 0.1, MOST).unwrap();
        assert_eq!(found, [Vec::new(), Vec::new()], "{layout:?}");
    }
}

#[test]
fn a_class_that_there_is_not_is_refused() {
    let signature = [("y", Datatype::Fp32, &[1, -1, 6][..])];
    for (labels, class, most) in [
        (2, 1.0, None),
        (2, 2.0, Some((2, true))),
        (2, f32::INFINITY, Some((2, true))),
        (0, 65_535.0, None),
        (0, 65_536.0, Some((65_536, false))),
        (0, 1e30, Some((65_536, false))),
    ] {
        let decoder = decoder(Some(DetectionLayout::Boxes), &signature, labels);
        let values = [0.0, 0.0, 4.0, 5.0, 0.5, class];
        let read = decoder.decode(&[Array { shape: &[1, 1, 6], values: &values }], 0.1, MOST);
        let expected = most.map(|(classes, labels)| DetectionError::ClassOf {
            output: "y".into(),
            class: class as usize,
            classes,
            labels,
        });
        assert_eq!(read.err(), expected, "{labels} {class}");
    }
}

#[test]
fn a_score_above_1_is_refused() {
    let decoder = decoder(Some(DetectionLayout::Boxes), &[("y", Datatype::Fp32, &[1, -1, 6])], 2);
    for (score, boxes) in [(1.0, Some(1)), (1.0005, Some(1)), (f32::INFINITY, Some(0)), (1.01, None), (320.0, None)] {
        let values = [0.0, 0.0, 4.0, 5.0, score, 1.0];
        let read = decoder.decode(&[Array { shape: &[1, 1, 6], values: &values }], 0.1, MOST);
        assert_eq!(read.as_ref().ok().map(|found| found[0].len()), boxes, "{score}");
        let refused =
            read.err().map(|e| matches!(e, DetectionError::Score { score: s, .. } if s.to_bits() == score.to_bits()));
        assert_eq!(refused, boxes.is_none().then_some(true), "{score}");
    }
}
